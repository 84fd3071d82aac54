/*
 * What threads know of their jobs, and what must hold of them whoever comes when: no job is handed
 * out that was not committed, or that has ended; no token is given twice, or after a later one to
 * the same job; each job ends once.
 *
 * Nobody is ordered by the books: every access is relaxed, or they would hide what they are to
 * find. So a thread may come late with what it notes, and rules compare tokens and not moments.
 */
#pragma once

#include "core/types.hpp"

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace dw::test {

using namespace dw::core;

class Books {
 public:
  explicit Books(JobId most) : most_(most), facts_(std::make_unique<Facts[]>(size_of(most))) {}

  [[nodiscard]] bool has_room_for(JobId id) const { return id >= 0 && id <= most_; }

  /* Before its transaction commits. */
  void committed(JobId id, QueueId queue);
  void claimed(JobId id, Token token);
  /* A decision under that token was accepted. */
  void accepted(JobId id, Token token);
  /* Before the transaction commits that ends it under that token. */
  void ended(JobId id, Token token);
  [[nodiscard]] std::int64_t unfinished() const { return unfinished_.load(kRelaxed); }
  /* 0: it was not committed. */
  [[nodiscard]] QueueId queue_of(JobId id) const { return at(id).queue.load(kRelaxed); }
  [[nodiscard]] bool has_ended(JobId id) const { return at(id).end.load(kRelaxed) != 0; }

  void broke(const std::string& rule);
  /* Sentences about broken rules, the first few. */
  [[nodiscard]] const std::vector<std::string>& broken() const { return broken_; }

 private:
  static constexpr std::memory_order kRelaxed = std::memory_order_relaxed;
  struct Facts {
    std::atomic<QueueId> queue{0};
    std::atomic<Token> token{0}; /* the highest that was given */
    std::atomic<Token> end{0};   /* under which it ended */
  };

  static std::size_t size_of(JobId most) { return static_cast<std::size_t>(most) + 1; }
  [[nodiscard]] Facts& at(JobId id) const { return facts_[static_cast<std::size_t>(id)]; }

  JobId most_;
  std::unique_ptr<Facts[]> facts_;
  std::atomic<std::int64_t> unfinished_{0};
  std::mutex mutex_;
  std::vector<std::string> broken_;
};

}  // namespace dw::test
