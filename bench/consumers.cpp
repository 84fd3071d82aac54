#include "consumers.hpp"

namespace bench {

Consumers::Consumers(const Subject& subject, int sessions, bool synchronous) : subject_(subject) {
  subject_.create(admin_);
  open_sessions(sessions_, loop_, sessions, subject_.statements(), synchronous);
}

Sample Consumers::work_off(int clients, int batch, std::int64_t jobs, const Work& work) {
  Consumption state{.batch = batch, .wanted = jobs, .done = 0};
  std::vector<Client> running;
  for (int i = 0; i < clients; ++i)
    running.push_back(work ? work(i, session(i), state) : consume(session(i), state));
  meter_.start();
  loop_.run(std::move(running));
  return per_job(meter_.stop(), state.done);
}

}  // namespace bench
