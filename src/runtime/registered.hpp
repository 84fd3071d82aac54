/*
 * The registered worker that a call speaks for. A call names it by worker and instance; the member
 * in shared memory is looked up once and remembered in the process while that registration lasts.
 */
#pragma once

#include <string_view>

#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

namespace dw::runtime {

/* Numbers of registrations, as the sequence durable_work.worker_instance_seq gives them. Others are
 * made up by clients that do not register. */
constexpr int64 kFirstInstance = int64{1} << 32;
constexpr int64 kLastInstance = (int64{1} << 33) - 1;

constexpr bool is_registration(int64 instance) {
  return instance >= kFirstInstance && instance <= kLastInstance;
}

struct Registered {
  core::MemberRef member;
  uint32 capacity; /* 0: any number */
  bool known; /* false: the call is not one of a registered worker, or the server is starting */
};

/*
 * Raises DW006 when the instance is one that register_worker gave and not the present one of that
 * name. Counts as a sign of life.
 */
Registered registered_worker(std::string_view name, int64 instance);

}  // namespace dw::runtime
