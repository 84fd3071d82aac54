#include "core/known_outcomes.hpp"

#include <algorithm>

namespace dw::core {

namespace {

constexpr std::uint64_t bit_of(JobId id) {
  return std::uint64_t{1} << (static_cast<std::uint64_t>(id) & 63U);
}
constexpr std::size_t word_of(JobId id) { return (static_cast<std::uint64_t>(id) >> 6) & 63U; }

/* Whatever else is or will be known of the row. */
constexpr bool ends_row(OutcomeKind kind, bool parked) {
  if (kind == OutcomeKind::moved) return !parked;
  return is_final(kind) && !(parked && kind == OutcomeKind::dead_lettered);
}

}  // namespace

void KnownOutcomes::clear() {
  finished_.clear();
  records_.clear();
  last_key_ = PageKey{0, false, -1};
  last_page_ = nullptr;
}

void KnownOutcomes::forget_before(JobId first) {
  last_key_ = PageKey{0, false, -1};
  last_page_ = nullptr;
  std::erase_if(finished_, [first](const auto& page) {
    return !page.first.parked && page.first.page < (first >> kPageBits);
  });
  std::erase_if(records_,
                [first](const auto& job) { return !job.first.parked && job.first.id < first; });
}

KnownOutcomes::Page* KnownOutcomes::find_page(QueueId queue, bool parked, std::int64_t number) {
  const PageKey key{queue, parked, number};
  if (key == last_key_) return last_page_;
  const auto found = finished_.find(key);
  last_key_ = key;
  last_page_ = found == finished_.end() ? nullptr : &found->second;
  return last_page_;
}

void KnownOutcomes::finish(QueueId queue, bool parked, JobId id) {
  const std::int64_t number = id >> kPageBits;
  Page* page = find_page(queue, parked, number);
  if (page == nullptr) {
    page = &finished_.try_emplace(PageKey{queue, parked, number}).first->second;
    last_page_ = page;
  }
  (*page)[word_of(id)] |= bit_of(id);
  if (!records_.empty()) records_.erase(JobKey{queue, parked, id});
}

bool KnownOutcomes::has_ended(QueueId queue, bool parked, JobId id) {
  const Page* page = find_page(queue, parked, id >> kPageBits);
  return page != nullptr && ((*page)[word_of(id)] & bit_of(id)) != 0;
}

const OutcomeSum* KnownOutcomes::find_record(QueueId queue, std::uint8_t segment, JobId id) const {
  if (records_.empty()) return nullptr;
  const auto found = records_.find(JobKey{queue, segment == kParkedSegment, id});
  return found == records_.end() ? nullptr : &found->second;
}

bool KnownOutcomes::finished(QueueId queue, std::uint8_t segment, JobId id) {
  if (has_ended(queue, segment == kParkedSegment, id)) return true;
  if (segment != kParkedSegment) return false;
  const OutcomeSum* const record = find_record(queue, segment, id);
  return record != nullptr && record->finished();
}

bool KnownOutcomes::add(std::uint8_t segment, JobId first_id, bool batch, const unsigned char* body,
                        std::size_t length) {
  const bool parked = segment == kParkedSegment;
  OutcomeReader reader(first_id, batch, body, length);
  OutcomeMember member;
  while (reader.next(&member)) {
    if (ends_row(reader.kind(), parked)) {
      finish(reader.queue(), parked, member.id);
    } else if (has_schedule(reader.kind()) && !has_ended(reader.queue(), parked, member.id)) {
      records_.try_emplace(JobKey{reader.queue(), parked, member.id})
          .first->second.add(reader.kind(), member);
    }
  }
  return !reader.damaged();
}

void KnownOutcomes::apply(QueueId queue, std::uint8_t segment, JobId id, std::uint16_t* attempts,
                          Micros* due) const {
  const OutcomeSum* const record = find_record(queue, segment, id);
  if (record == nullptr) return;
  *attempts = static_cast<std::uint16_t>(std::max<std::int32_t>(*attempts, record->attempts()));
  if (record->due() != 0) *due = record->due();
}

RecordedClaim KnownOutcomes::last_claim(QueueId queue, std::uint8_t segment, JobId id) const {
  const OutcomeSum* const record = find_record(queue, segment, id);
  if (record == nullptr) return {};
  return {record->claimed(), record->claimed_attempt(), record->claim_is_open()};
}

}  // namespace dw::core
