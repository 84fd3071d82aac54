#include "session.hpp"

#include <poll.h>

#include <algorithm>
#include <ctime>
#include <stdexcept>

namespace bench {

void Session::Reply::await_suspend(std::coroutine_handle<> client) {
  session->loop_.waiting_.push_back({session, client});
}

void Session::send(const char* name, int count, const char* const* values) {
  if (PQsendQueryPrepared(connection_.get(), name, count, values, nullptr, nullptr, 0) != 1)
    throw std::runtime_error(PQerrorMessage(connection_.get()));
}

bool Session::receive() {
  PGconn* connection = connection_.get();
  if (PQconsumeInput(connection) != 1) throw std::runtime_error(PQerrorMessage(connection));
  while (PQisBusy(connection) == 0) {
    PGresult* result = PQgetResult(connection);
    if (result == nullptr) return true;
    answer_ = result;  // a prepared statement has exactly one result
  }
  return false;
}

void EventLoop::run(std::vector<Client> clients) {
  for (const Client& client : clients) client.handle().resume();
  while (!waiting_.empty() || !sleepers_.empty()) {
    poll_once();
    wake_sleepers();
    for (const Client& client : clients) {
      if (client.handle().promise().failure) {
        waiting_.clear();
        sleepers_.clear();
        std::rethrow_exception(client.handle().promise().failure);
      }
    }
  }
  for (const Client& client : clients)
    if (client.handle().promise().failure)
      std::rethrow_exception(client.handle().promise().failure);
}

void EventLoop::poll_once() {
  std::vector<pollfd> ready;
  ready.reserve(waiting_.size());
  for (const Waiting& entry : waiting_)
    ready.push_back({PQsocket(entry.session->connection().get()), POLLIN, 0});

  timespec limit{1, 0};
  for (const Sleeper& sleeper : sleepers_) {
    const auto left = std::chrono::duration_cast<std::chrono::nanoseconds>(
        std::max(sleeper.until - Clock::now(), Clock::duration::zero()));
    if (left < std::chrono::seconds(1) && (limit.tv_sec > 0 || left.count() < limit.tv_nsec))
      limit = {0, static_cast<long>(left.count())};
  }
  if (ppoll(ready.data(), ready.size(), &limit, nullptr) <= 0) return;

  std::vector<Waiting> finished;
  std::size_t kept = 0;
  for (std::size_t i = 0; i < ready.size(); ++i) {
    if (ready[i].revents != 0 && waiting_[i].session->receive())
      finished.push_back(waiting_[i]);
    else
      waiting_[kept++] = waiting_[i];
  }
  waiting_.resize(kept);
  // Resumed only now: a resumed client adds to waiting_.
  for (const Waiting& entry : finished) entry.client.resume();
}

void EventLoop::wake_sleepers() {
  const TimePoint now = Clock::now();
  std::vector<std::coroutine_handle<>> due;
  std::erase_if(sleepers_, [&](const Sleeper& sleeper) {
    if (sleeper.until > now) return false;
    due.push_back(sleeper.client);
    return true;
  });
  for (const std::coroutine_handle<> client : due) client.resume();
}

}  // namespace bench
