// One side of a comparison of those who claim and complete: a queue or table, sessions that work on
// it, and what they cost.
#pragma once

#include "subject.hpp"

#include <functional>

namespace bench {

class Consumers {
 public:
  // Makes the queue or table anew.
  Consumers(const Subject& subject, int sessions, bool synchronous = false);

  const Subject& subject() const { return subject_; }
  Connection& admin() { return admin_; }
  Connection& connection(int client) { return session(client).connection(); }

  using Work = std::function<Client(int client, Session&, Consumption&)>;
  // So many clients work off `jobs` that are there; see consume(), or what `work` does instead.
  Sample work_off(int clients, int batch, std::int64_t jobs, const Work& work = nullptr);

 private:
  Session& session(int client) { return sessions_[static_cast<std::size_t>(client)]; }

  Subject subject_;
  Connection admin_;
  EventLoop loop_;
  std::deque<Session> sessions_;
  Meter meter_;
};

}  // namespace bench
