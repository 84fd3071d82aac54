#include "fake_log.hpp"

#include <algorithm>
#include <stdexcept>

namespace dw::test {

Xid FakeLog::begin(Xid parent) {
  xacts_.push_back(Xact{State::open, parent, 0});
  return static_cast<Xid>(xacts_.size() - 1);
}

void FakeLog::abort(Xid xid) {
  if (xacts_[xid].state != State::open)
    throw std::logic_error("a transaction that is not open aborts");
  xacts_[xid].state = State::aborted;
}

/* It stays open and shares its parent's fate through the chain of parents. */
void FakeLog::merge(Xid xid) {
  if (xacts_[xid].parent == kNoXid)
    throw std::logic_error("a top transaction has nothing to merge into");
}

void FakeLog::commit(Xid xid) {
  Xact& top = xacts_[xid];
  if (top.state != State::open || top.parent != kNoXid)
    throw std::logic_error("only an open top transaction commits");
  top.state = State::committed;
  top.commit_number = ++commits_;
}

bool FakeLog::sees(Snapshot snapshot, Xid xid) const {
  for (; xacts_[xid].parent != kNoXid; xid = xacts_[xid].parent) {
    if (xacts_[xid].state == State::aborted) return false;
  }
  const Xact& top = xacts_[xid];
  return top.state == State::committed && top.commit_number <= snapshot;
}

template <typename Page>
std::uint32_t FakeLog::page_of(std::vector<Page>& pages, std::vector<std::uint32_t>& targets,
                               std::uint32_t writer) const {
  constexpr std::uint32_t kNowhere = std::numeric_limits<std::uint32_t>::max();
  if (targets.size() <= writer) targets.resize(writer + 1, kNowhere);
  std::uint32_t& target = targets[writer];
  if (target == kNowhere && !pages.empty()) target = static_cast<std::uint32_t>(pages.size() - 1);
  if (target == kNowhere || pages[target].size() >= rows_a_page_) {
    target = pages.empty() ? 0 : static_cast<std::uint32_t>(pages.size() - 1);
    if (pages.empty() || pages[target].size() >= rows_a_page_) {
      pages.emplace_back();
      target = static_cast<std::uint32_t>(pages.size() - 1);
    }
  }
  return target;
}

void FakeLog::insert_job(Xid xid, std::uint32_t writer, std::int32_t topic, JobRow* row) {
  auto& pages = jobs_[row->segment];
  row->block = page_of(pages, job_targets_[row->segment], writer);
  row->offset = static_cast<std::uint16_t>(pages[row->block].size() + 1);
  pages[row->block].push_back(JobOnPage{*row, topic, xid});
}

std::vector<std::uint32_t> FakeLog::insert_outcome(Xid xid, std::uint32_t writer,
                                                   std::uint8_t segment, OutcomeKind kind,
                                                   Micros at, QueueId queue,
                                                   const std::vector<OutcomeMember>& members) {
  std::vector<std::uint32_t> blocks;
  auto& pages = outcomes_[segment];
  for (std::size_t from = 0; from < members.size();) {
    unsigned char body[kMostBody];
    std::size_t length = 0;
    const std::size_t taken =
        pack_outcome(kind, at, queue, &members[from], members.size() - from, body, &length);
    const std::uint32_t block = page_of(pages, outcome_targets_[segment], writer);
    pages[block].push_back(OutcomeOnPage{xid, members[from].id, taken > 1,
                                         std::vector<unsigned char>(body, body + length)});
    blocks.push_back(block);
    from += taken;
  }
  return blocks;
}

void FakeLog::remove_key_block(Xid xid, QueueId queue, JobId job) {
  for (KeyBlockRow& row : key_blocks_) {
    if (row.block.queue == queue && row.block.job == job && sees_itself(xid, row.xid))
      row.gone = xid;
  }
}

void FakeLog::set_key_weight(Xid xid, const KeyWeight& row) {
  for (KeyWeightRow& known : key_weights_) {
    const bool is_there =
        sees_itself(xid, known.xid) && !(known.gone != kNoXid && sees_itself(xid, known.gone));
    if (known.row.queue == row.queue && known.row.key_hash == row.key_hash && is_there)
      known.gone = xid;
  }
  if (row.weight != 1) key_weights_.push_back(KeyWeightRow{row, xid, kNoXid});
}

std::vector<KeyWeight> FakeLog::key_weights(Snapshot snapshot) const {
  std::vector<KeyWeight> rows;
  for (const KeyWeightRow& known : key_weights_) {
    if (sees(snapshot, known.xid) && !(known.gone != kNoXid && sees(snapshot, known.gone)))
      rows.push_back(known.row);
  }
  return rows;
}

std::vector<KeyBlock> FakeLog::key_blocks(Snapshot snapshot) const {
  std::vector<KeyBlock> blocks;
  for (const KeyBlockRow& row : key_blocks_) {
    if (sees(snapshot, row.xid) && !(row.gone != kNoXid && sees(snapshot, row.gone)))
      blocks.push_back(row.block);
  }
  return blocks;
}

void FakeLog::truncate(std::uint8_t segment) {
  jobs_[segment].clear();
  outcomes_[segment].clear();
  job_targets_[segment].clear();
  outcome_targets_[segment].clear();
}

std::uint64_t FakeLog::page_count() const {
  std::uint64_t count = 0;
  for (int segment = 0; segment < kStores; segment++)
    count += jobs_[segment].size() + outcomes_[segment].size();
  return count;
}

Xid FakeLog::top_of(Xid xid) const {
  while (xacts_[xid].parent != kNoXid) xid = xacts_[xid].parent;
  return xid;
}

bool FakeLog::is_open(Xid xid) const {
  for (; xid != kNoXid; xid = xacts_[xid].parent) {
    if (xacts_[xid].state != State::open) return false;
  }
  return true;
}

std::vector<Xid> FakeLog::prepared() const {
  std::vector<Xid> open;
  for (const Xid xid : prepared_) {
    if (in_progress(xid)) open.push_back(xid);
  }
  return open;
}

bool FakeLog::sees_itself(Xid self, Xid xid) const {
  if (sees(snapshot(), xid)) return true;
  if (top_of(xid) != top_of(self)) return false;
  for (; xid != kNoXid; xid = xacts_[xid].parent) {
    if (xacts_[xid].state == State::aborted) return false;
  }
  return true;
}

bool FakeLog::park_job(Xid xid, std::uint32_t writer, std::int32_t topic, JobRow* row) {
  bool was_there = false;
  for (auto& page : jobs_[kParkedSegment]) {
    for (JobOnPage& job : page) {
      if (job.row.id != row->id || !sees_itself(xid, job.xid)) continue;
      if (job.gone != kNoXid && sees_itself(xid, job.gone)) continue;
      job.gone = xid;
      was_there = true;
    }
  }
  row->segment = kParkedSegment;
  insert_job(xid, writer, topic, row);
  return was_there;
}

void FakeLog::remove_job(Xid xid, const JobRow& row) {
  for (JobOnPage& job : jobs_[row.segment][row.block]) {
    if (job.row.id == row.id && job.row.offset == row.offset) job.gone = xid;
  }
}

std::map<JobId, OutcomeSum> FakeLog::sums(Snapshot snapshot, QueueId queue,
                                          std::uint8_t segment) const {
  std::map<JobId, OutcomeSum> sums;
  for (const auto& page : outcomes_[segment]) {
    for (const OutcomeOnPage& outcome : page) {
      if (!sees(snapshot, outcome.xid)) continue;
      OutcomeReader reader(outcome.first_id, outcome.batch, outcome.body.data(),
                           outcome.body.size());
      if (reader.queue() != queue) continue;
      OutcomeMember member{};
      while (reader.next(&member)) sums[member.id].add(reader.kind(), member);
    }
  }
  return sums;
}

std::vector<JobId> FakeLog::unfinished(Snapshot snapshot, QueueId queue,
                                       std::uint8_t segment) const {
  const std::map<JobId, OutcomeSum> known = sums(snapshot, queue, segment);
  std::vector<JobId> ids;
  for (const auto& page : jobs_[segment]) {
    for (const JobOnPage& job : page) {
      if (job.row.queue != queue || !sees(snapshot, job)) continue;
      const auto sum = known.find(job.row.id);
      if (sum == known.end() || (!sum->second.finished() && !sum->second.moved()))
        ids.push_back(job.row.id);
    }
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

LoggedJob FakeLog::find_row(Snapshot snapshot, QueueId queue, JobId id,
                            std::uint8_t segment) const {
  LoggedJob found;
  for (const auto& page : jobs_[segment]) {
    for (const JobOnPage& job : page) {
      if (job.row.id != id || job.row.queue != queue || !sees(snapshot, job)) continue;
      found.exists = true;
      found.row = job.row;
    }
  }
  return found;
}

void FakeLog::add_outcomes(Snapshot snapshot, QueueId queue, JobId id, LoggedJob* found) const {
  OutcomeSum sum;
  for (const auto& page : outcomes_[found->row.segment]) {
    for (const OutcomeOnPage& outcome : page) {
      if (!sees(snapshot, outcome.xid)) continue;
      OutcomeReader reader(outcome.first_id, outcome.batch, outcome.body.data(),
                           outcome.body.size());
      OutcomeMember member{};
      while (reader.next(&member)) {
        if (member.id == id && reader.queue() == queue) sum.add(reader.kind(), member);
      }
    }
  }
  found->finished = sum.finished();
  found->dead = sum.is_dead();
  found->redriven = sum.redriven();
  found->row.attempts =
      static_cast<std::uint16_t>(std::max<std::int32_t>(found->row.attempts, sum.attempts()));
  if (sum.due() != 0) found->row.due = sum.due();
}

LoggedJob FakeLog::look_up(Snapshot snapshot, QueueId queue, JobId id) const {
  LoggedJob found;
  /* A job that was moved has a row in its old segment too. */
  for (int segment = kStores - 1; segment >= 0 && !found.exists; segment--)
    found = find_row(snapshot, queue, id, static_cast<std::uint8_t>(segment));
  if (found.exists) add_outcomes(snapshot, queue, id, &found);
  return found;
}

}  // namespace dw::test
