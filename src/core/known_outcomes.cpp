#include "core/known_outcomes.hpp"

#include <algorithm>

namespace dw::core {

namespace {

constexpr std::uint64_t bit_of(JobId id) {
  return std::uint64_t{1} << (static_cast<std::uint64_t>(id) & 63U);
}
constexpr std::size_t word_of(JobId id) { return (static_cast<std::uint64_t>(id) >> 6) & 63U; }

}  // namespace

void KnownOutcomes::clear() {
  finished_.clear();
  schedules_.clear();
  last_key_ = PageKey{0, -1};
  last_page_ = nullptr;
}

KnownOutcomes::Page* KnownOutcomes::find_page(QueueId queue, std::int64_t number) {
  const PageKey key{queue, number};
  if (key == last_key_) return last_page_;
  const auto found = finished_.find(key);
  last_key_ = key;
  last_page_ = found == finished_.end() ? nullptr : &found->second;
  return last_page_;
}

void KnownOutcomes::finish(QueueId queue, JobId id) {
  const std::int64_t number = id >> kPageBits;
  Page* page = find_page(queue, number);
  if (page == nullptr) {
    page = &finished_.try_emplace(PageKey{queue, number}).first->second;
    last_page_ = page;
  }
  (*page)[word_of(id)] |= bit_of(id);
  if (!schedules_.empty()) schedules_.erase(JobKey{queue, id});
}

bool KnownOutcomes::finished(QueueId queue, JobId id) {
  const Page* page = find_page(queue, id >> kPageBits);
  return page != nullptr && ((*page)[word_of(id)] & bit_of(id)) != 0;
}

bool KnownOutcomes::add(JobId first_id, bool batch, const unsigned char* body, std::size_t length) {
  OutcomeReader reader(first_id, batch, body, length);
  OutcomeMember member;
  while (reader.next(&member)) {
    if (is_final(reader.kind())) {
      finish(reader.queue(), member.id);
      continue;
    }
    if (!has_schedule(reader.kind()) || finished(reader.queue(), member.id)) continue;
    const JobKey key{reader.queue(), member.id};
    Schedule& known = schedules_.try_emplace(key, Schedule{0, 0, 0}).first->second;
    known.attempts = std::max(known.attempts, member.attempt);
    if (member.token >= known.token) {
      known.token = member.token;
      known.due = member.next_due;
    }
  }
  return !reader.damaged();
}

void KnownOutcomes::apply(QueueId queue, JobId id, std::uint16_t* attempts, Micros* due) const {
  if (schedules_.empty()) return;
  const auto found = schedules_.find(JobKey{queue, id});
  if (found == schedules_.end()) return;
  *attempts = static_cast<std::uint16_t>(std::max<std::int32_t>(*attempts, found->second.attempts));
  if (found->second.due != 0) *due = found->second.due;
}

}  // namespace dw::core
