/*
 * What the outcomes of one job in one place (its segment, or parked) say, whatever order they are
 * read in and however often.
 *
 * Outcomes of a job are ordered by their tokens. A completion, a cancellation and a purge are the
 * end; a dead letter is, until a redrive of a higher token. How often the job was tried and when it
 * is due is what the latest record with a schedule says. A record of a claim has the token of its
 * lease, so the record of what became of that claim, which has the same, is later.
 */
#pragma once

#include "core/outcome.hpp"

namespace dw::core {

class OutcomeSum {
 public:
  void add(OutcomeKind kind, const OutcomeMember& member) noexcept;

  /* The job has gone on to parked; what is here says nothing of it any more. */
  [[nodiscard]] bool moved() const noexcept { return moved_; }
  [[nodiscard]] bool finished() const noexcept { return ended_ || is_dead(); }
  [[nodiscard]] bool is_dead() const noexcept { return !ended_ && died_ > redriven_; }
  /* If finished. */
  [[nodiscard]] OutcomeKind end() const noexcept {
    return ended_ ? end_ : OutcomeKind::dead_lettered;
  }
  [[nodiscard]] Token end_token() const noexcept { return ended_ ? end_token_ : died_; }
  /* Attempts that the log knows of. */
  [[nodiscard]] std::int32_t attempts() const noexcept;
  /* When it is due; 0: as its row says. */
  [[nodiscard]] Micros due() const noexcept { return due_; }
  /* Token of the record that due() and, but for an open claim, attempts() are from; 0: none. */
  [[nodiscard]] Token scheduled() const noexcept { return scheduled_; }
  [[nodiscard]] Token redriven() const noexcept { return redriven_; }
  /* The last claim that was recorded; 0: none. */
  [[nodiscard]] Token claimed() const noexcept { return claimed_; }
  [[nodiscard]] std::int32_t claimed_attempt() const noexcept { return claimed_attempt_; }
  /* Nothing is recorded of what became of that claim. */
  [[nodiscard]] bool claim_is_open() const noexcept { return !finished() && claimed_ > scheduled_; }

 private:
  void schedule(const OutcomeMember& member) noexcept;

  Token scheduled_ = 0;
  Micros due_ = 0;
  Token claimed_ = 0;
  Token died_ = 0;
  Token redriven_ = 0;
  Token end_token_ = 0;
  std::int16_t attempts_ = 0;
  std::int16_t claimed_attempt_ = 0;
  OutcomeKind end_ = OutcomeKind::completed;
  bool ended_ = false;
  bool moved_ = false;
};

}  // namespace dw::core
