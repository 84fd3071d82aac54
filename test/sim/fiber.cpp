#include "fiber.hpp"

#include <cxxabi.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <cstdint>
#include <cstring>
#include <new>
#include <utility>

/* gcc says it by a macro, clang by a feature. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) && !defined(__SANITIZE_ADDRESS__)
#define __SANITIZE_ADDRESS__
#endif
#if __has_feature(thread_sanitizer) && !defined(__SANITIZE_THREAD__)
#define __SANITIZE_THREAD__
#endif
#endif

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#endif

namespace dw::test {

namespace {

constexpr std::size_t kStack = std::size_t{1} << 20;

/* Which exceptions are being handled belongs to the stack, but is kept by thread. */
struct Exceptions {
  void* caught;
  unsigned uncaught;
};

void exchange_exceptions(Exceptions& other) {
  auto* const current = reinterpret_cast<Exceptions*>(abi::__cxa_get_globals());
  std::swap(*current, other);
}

}  // namespace

struct Fiber::Context {
  ucontext_t self{};
  ucontext_t caller{};
  void* stack = nullptr;
  Exceptions exceptions{};
#ifdef __SANITIZE_ADDRESS__
  void* shadow = nullptr;
  const void* caller_stack = nullptr;
  std::size_t caller_size = 0;
#endif
#ifdef __SANITIZE_THREAD__
  void* fiber = __tsan_create_fiber(0);
  void* calling_fiber = nullptr;
#endif

  /* To the fiber, until it comes back. */
  void enter() {
    exchange_exceptions(exceptions);
#ifdef __SANITIZE_ADDRESS__
    void* own_shadow = nullptr;
    __sanitizer_start_switch_fiber(&own_shadow, stack, kStack);
#endif
#ifdef __SANITIZE_THREAD__
    calling_fiber = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(fiber, 0);
#endif
    swapcontext(&caller, &self);
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(own_shadow, nullptr, nullptr);
#endif
    exchange_exceptions(exceptions);
  }

  void has_entered() {
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(shadow, &caller_stack, &caller_size);
#endif
  }

  void leave() {
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(&shadow, caller_stack, caller_size);
#endif
#ifdef __SANITIZE_THREAD__
    __tsan_switch_to_fiber(calling_fiber, 0);
#endif
    swapcontext(&self, &caller);
    has_entered();
  }
};

Fiber::Fiber() : context_(std::make_unique<Context>()) {
  context_->stack =
      mmap(nullptr, kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (context_->stack == MAP_FAILED) throw std::bad_alloc();
  getcontext(&context_->self);
  context_->self.uc_stack.ss_sp = context_->stack;
  context_->self.uc_stack.ss_size = kStack;
  context_->self.uc_link = nullptr;
  /* makecontext passes numbers of the size of int only. */
  const auto address = reinterpret_cast<std::uintptr_t>(this);
  makecontext(&context_->self, reinterpret_cast<void (*)()>(&Fiber::enter), 2,
              static_cast<unsigned>(address >> 32), static_cast<unsigned>(address));
}

Fiber::~Fiber() {
#ifdef __SANITIZE_THREAD__
  __tsan_destroy_fiber(context_->fiber);
#endif
  munmap(context_->stack, kStack);
}

void Fiber::enter(unsigned high, unsigned low) {
  auto* const self =
      reinterpret_cast<Fiber*>(static_cast<std::uintptr_t>(high) << 32 | std::uintptr_t{low});
  self->context_->has_entered();
  self->run();
}

void Fiber::run() {
  while (true) {
    task_();
    task_ = nullptr;
    has_stopped_ = false;
    context_->leave();
  }
}

void Fiber::start(std::function<void()> task) {
  task_ = std::move(task);
  context_->enter();
}

void Fiber::resume() { context_->enter(); }

void Fiber::stop() {
  has_stopped_ = true;
  context_->leave();
}

}  // namespace dw::test
