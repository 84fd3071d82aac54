/* Claims that are asked for again: what the repetition may be told, and what it must list. */
#include "world.hpp"

#include <algorithm>

namespace dw::test {

namespace {

constexpr std::size_t kRememberedRequests = 40;

}  // namespace

/* A new one, noted with the transaction; none when there is no room. */
RequestRef World::begin_request(int session, std::uint64_t* made) {
  const std::uint64_t number = next_request_++;
  *made = number;
  const RequestKey key{{number, ~number}};
  RequestRef ref{kNone, 0};
  RequestOwner other{};
  const RequestStanding standing = d().begin_request(key, owner_of(session), &ref, &other);
  if (standing == RequestStanding::no_room) return RequestRef{kNone, 0};
  if (standing != RequestStanding::fresh) throw Violation("a request was known before it was made");
  s(session).transaction.note_request(s(session).level(), ref);
  requests_.push_back(ModelRequest{key, session, s(session).level(), Fate::open, true, {}});
  if (requests_.size() > kRememberedRequests) requests_.pop_front();
  return ref;
}

/* What a request was given; there may have been no room for it. */
void World::note_batch(std::uint64_t number, QueueId queue, const std::vector<ClaimedJob>& jobs) {
  for (ModelRequest& request : requests_) {
    if (request.key.words[0] != number) continue;
    request.claiming = false;
    for (const ClaimedJob& job : jobs) request.batch.emplace_back(JobKey{queue, job.id}, job.token);
  }
}

void World::move_requests(int session, std::int32_t level, Fate from, Fate to) {
  for (ModelRequest& request : requests_) {
    if (request.maker == session && request.fate == from && request.level >= level)
      request.fate = to;
  }
}

/* False also where the reference cannot tell. */
bool World::is_listable(JobKey key, Token token) {
  const ModelJob& job = reference_.job(key);
  return !job.gone && job.flux == kNobody && Reference::holds(job, token) &&
         job.decider == kNobody && job.deadline > platform().monotonic &&
         !reference_.may_be_swept(job);
}

void World::check_list(const ModelRequest& request) {
  std::vector<LeaseRef> leases(d().arena().capacity);
  leases.resize(
      d().request_leases(request.key, leases.data(), static_cast<std::uint32_t>(leases.size())));
  std::vector<Token> listed;
  for (const LeaseRef& lease : leases) {
    ClaimedJob job{};
    if (!d().see_claimed(lease, &job)) continue;
    listed.push_back(job.token);
    const auto given = std::find_if(request.batch.begin(), request.batch.end(),
                                    [&](const auto& pair) { return pair.second == job.token; });
    if (given == request.batch.end() || given->first.id != job.id)
      throw Violation(fmt::format("job {} is listed but was not of the batch", job.id));
    const ModelJob& known = reference_.job(given->first);
    if (known.gone || known.flux != kNobody) continue;
    if (!Reference::holds(known, job.token) || known.decider != kNobody)
      throw Violation(fmt::format("job {} is listed but is not held", job.id));
  }
  for (const auto& [key, token] : request.batch) {
    if (is_listable(key, token) && std::count(listed.begin(), listed.end(), token) != 1)
      throw Violation(fmt::format("job {} is held but is not listed", key.id));
  }
  note("listed again", "{} of {} jobs", listed.size(), request.batch.size());
}

/* Any session repeats what any of them asked. */
void World::ask_again(int session) {
  if (requests_.empty()) return;
  const std::size_t which = draw_index(requests_.size());
  const ModelRequest request = requests_[which];
  if (request.fate == Fate::in_flux) return;
  RequestRef ref{kNone, 0};
  RequestOwner other{};
  const RequestStanding standing = d().begin_request(request.key, owner_of(session), &ref, &other);
  if (request.claiming) {
    if (standing != RequestStanding::open_elsewhere || other.process != request.maker)
      throw Violation("a request was forgotten while its claim is under way");
    return;
  }
  const bool known = !request.batch.empty() && request.fate != Fate::forgotten;
  switch (standing) {
    case RequestStanding::known:
      if (!known) throw Violation("a request is known that was forgotten");
      if (request.fate == Fate::open && request.maker != session)
        throw Violation("a request is known whose transaction is open");
      return check_list(request);
    case RequestStanding::open_elsewhere:
      if (!known || request.fate != Fate::open || other.process != request.maker)
        throw Violation("a request is waited for that is not open");
      return note("waited for");
    case RequestStanding::fresh:
      d().forget_request(ref);
      break;
    case RequestStanding::no_room:
      break;
  }
  if (request.fate == Fate::open && known) throw Violation("an open request was forgotten");
  for (const auto& [key, token] : request.batch) {
    if (request.fate != Fate::forgotten && is_listable(key, token))
      throw Violation(fmt::format("a request was forgotten while job {} is held", key.id));
  }
  note("forgotten");
  requests_.erase(requests_.begin() + static_cast<std::ptrdiff_t>(which));
}

}  // namespace dw::test
