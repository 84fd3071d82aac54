#include "core/outcome_sum.hpp"

#include <algorithm>

namespace dw::core {

namespace {

std::int16_t attempt_of(const OutcomeMember& member) noexcept {
  return static_cast<std::int16_t>(std::clamp<std::int32_t>(member.attempt, 0, kMostAttempts));
}

}  // namespace

/* Two records of one token are one record read twice, or damage: then any fixed choice does. */
void OutcomeSum::schedule(const OutcomeMember& member) noexcept {
  const std::int16_t attempt = attempt_of(member);
  if (member.token < scheduled_) return;
  if (member.token == scheduled_) {
    attempts_ = std::max(attempts_, attempt);
    due_ = std::max(due_, member.next_due);
    return;
  }
  scheduled_ = member.token;
  attempts_ = attempt;
  due_ = member.next_due;
}

void OutcomeSum::add(OutcomeKind kind, const OutcomeMember& member) noexcept {
  switch (kind) {
    case OutcomeKind::completed:
    case OutcomeKind::cancelled:
    case OutcomeKind::purged:
      if (ended_ && (member.token < end_token_ || (member.token == end_token_ && kind <= end_)))
        return;
      ended_ = true;
      end_ = kind;
      end_token_ = member.token;
      return;
    case OutcomeKind::moved:
      moved_ = true;
      return;
    case OutcomeKind::claimed:
      if (member.token == claimed_)
        claimed_attempt_ = std::max(claimed_attempt_, attempt_of(member));
      if (member.token <= claimed_) return;
      claimed_ = member.token;
      claimed_attempt_ = attempt_of(member);
      return;
    case OutcomeKind::dead_lettered:
      died_ = std::max(died_, member.token);
      break;
    case OutcomeKind::redriven:
      redriven_ = std::max(redriven_, member.token);
      break;
    case OutcomeKind::attempt_failed:
    case OutcomeKind::rescheduled:
    case OutcomeKind::payload_replaced:
    case OutcomeKind::relocated:
      break;
  }
  schedule(member);
}

std::int32_t OutcomeSum::attempts() const noexcept {
  return claimed_ > scheduled_ ? std::max(attempts_, claimed_attempt_) : attempts_;
}

}  // namespace dw::core
