#include "books.hpp"

#include <fmt/format.h>

namespace dw::test {

namespace {

constexpr std::size_t kMostBroken = 20;

}  // namespace

void Books::broke(const std::string& rule) {
  const std::lock_guard guard(mutex_);
  if (broken_.size() < kMostBroken) broken_.push_back(rule);
}

void Books::committed(JobId id, QueueId queue) {
  at(id).queue.store(queue, kRelaxed);
  unfinished_.fetch_add(1, kRelaxed);
}

void Books::claimed(JobId id, Token token) {
  Facts& job = at(id);
  if (job.queue.load(kRelaxed) == 0)
    broke(fmt::format("job {} was handed out and is not committed", id));
  const Token end = job.end.load(kRelaxed);
  if (end != 0 && token > end)
    broke(
        fmt::format("job {} was handed out under token {} and has ended under {}", id, token, end));
  Token known = job.token.load(kRelaxed);
  while (known < token && !job.token.compare_exchange_weak(known, token, kRelaxed)) {
  }
  if (known == token) broke(fmt::format("job {} got token {} twice", id, token));
}

void Books::accepted(JobId id, Token token) {
  const Token known = at(id).token.load(kRelaxed);
  if (known > token)
    broke(fmt::format("job {} was decided under token {} after {} was given", id, token, known));
}

void Books::ended(JobId id, Token token) {
  Token none = 0;
  if (!at(id).end.compare_exchange_strong(none, token, kRelaxed))
    broke(fmt::format("job {} ended under token {} and before under {}", id, token, none));
  unfinished_.fetch_sub(1, kRelaxed);
}

}  // namespace dw::test
