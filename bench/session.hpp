// Many connections in one thread. A client is a coroutine: it reads like a blocking program and
// every round trip suspends it, so the load generator costs one thread however many clients there
// are and leaves the other processors to the server.
#pragma once

#include "connection.hpp"

#include <chrono>
#include <coroutine>
#include <exception>
#include <utility>
#include <vector>

namespace bench {

using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;

class EventLoop;

// The coroutine of one client. Started and owned by the event loop.
class Client {
 public:
  struct promise_type {
    std::exception_ptr failure;
    Client get_return_object() {
      return Client(std::coroutine_handle<promise_type>::from_promise(*this));
    }
    std::suspend_always initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { failure = std::current_exception(); }
  };

  explicit Client(std::coroutine_handle<promise_type> handle) : handle_(handle) {}
  Client(Client&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  Client& operator=(Client&&) = delete;
  ~Client() {
    if (handle_) handle_.destroy();
  }

  std::coroutine_handle<promise_type> handle() const { return handle_; }

 private:
  std::coroutine_handle<promise_type> handle_;
};

class Session {
 public:
  explicit Session(EventLoop& loop) : loop_(loop) {}
  Session(Session&&) = default;

  Connection& connection() { return connection_; }

  struct Reply {
    Session* session;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> client);
    Result await_resume() { return Result(session->answer_); }
  };

  // Sends at once (the arguments need not outlive the call); co_await the reply.
  template <class... Args>
  Reply execute(const char* name, const Args&... args) {
    const char* values[sizeof...(Args) + 1] = {as_text(args)..., nullptr};
    send(name, static_cast<int>(sizeof...(Args)), values);
    return Reply{this};
  }

 private:
  friend class EventLoop;
  void send(const char* name, int count, const char* const* values);
  // True when the whole reply is there.
  bool receive();

  EventLoop& loop_;
  Connection connection_;
  PGresult* answer_ = nullptr;
};

class EventLoop {
 public:
  struct Sleep {
    EventLoop* loop;
    TimePoint until;
    bool await_ready() const { return Clock::now() >= until; }
    void await_suspend(std::coroutine_handle<> client) {
      loop->sleepers_.push_back({until, client});
    }
    void await_resume() const noexcept {}
  };

  Sleep sleep_until(TimePoint until) { return {this, until}; }

  // Runs the clients to their end; throws what the first failing one threw.
  void run(std::vector<Client> clients);

 private:
  friend struct Session::Reply;
  struct Waiting {
    Session* session;
    std::coroutine_handle<> client;
  };
  struct Sleeper {
    TimePoint until;
    std::coroutine_handle<> client;
  };

  void poll_once();
  void wake_sleepers();

  std::vector<Waiting> waiting_;
  std::vector<Sleeper> sleepers_;
};

}  // namespace bench
