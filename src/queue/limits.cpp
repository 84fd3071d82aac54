/*
 * set_concurrency_limit, set_rate_limit: limits of one queue, of each of its keys, or of several
 * queues that share them.
 *
 * The limit of a group stands in the row of each of its queues, so that a queue's row says all that
 * the dispatcher has to know before it hands out the first job, also when a restore brings the rows
 * one by one. Whoever changes it changes all of these rows; a lock keeps such changes apart.
 */
#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

#include "durable_work/abi.h"
#include "pg/datum.hpp"
#include "pg/error.hpp"
#include "pg/memory.hpp"
#include "queue/dead_letter_queue.hpp"
#include "runtime/session.hpp"
#include "store/queue_table.hpp"

namespace {

using namespace dw;
using core::LimitKind;
using core::QueueLimits;

enum class Scope : uint8 { queue, key, group };

/* What is asked for, of one kind. */
struct Wish {
  LimitKind kind;
  Scope scope;
  bool removes;
  uint32 max_in_flight;
  core::Rate rate;
  std::string_view group; /* empty: none is named */
};

Scope read_scope(FunctionCallInfo fcinfo, int number) {
  const std::string_view word = pg::required_text(fcinfo, number, "scope", 1, NAMEDATALEN);
  if (word == "queue") return Scope::queue;
  if (word == "group") return Scope::group;
  if (word == "key") return Scope::key;
  pg::raise_invalid(psprintf("scope \"%s\" is not known", pg::copy(word)), nullptr,
                    "Use queue, key or group.");
}

void read_group(FunctionCallInfo fcinfo, int number, Wish* wish) {
  const auto name = pg::optional_text(fcinfo, number, "limit_group", 1, core::kGroupNameSize - 1);
  if (name && wish->scope != Scope::group)
    pg::raise_invalid("limit_group goes with scope \"group\" only", nullptr,
                      "Say scope => 'group', or leave limit_group out.");
  if (!name && wish->scope == Scope::group && !wish->removes)
    pg::raise_invalid("limit_group must be named", nullptr,
                      "Queues that name the same limit_group share one limit.");
  if (name) wish->group = *name;
}

Wish concurrency_wish(FunctionCallInfo fcinfo) {
  Wish wish{};
  wish.kind = LimitKind::concurrency;
  const auto most = pg::optional_int(fcinfo, 1, "max_in_flight", 0, PG_INT32_MAX);
  wish.removes = !most.has_value();
  wish.max_in_flight = most ? static_cast<uint32>(*most) : core::kUnlimited;
  wish.scope = read_scope(fcinfo, 2);
  read_group(fcinfo, 3, &wish);
  return wish;
}

Wish rate_wish(FunctionCallInfo fcinfo) {
  constexpr auto kMost = static_cast<int32>(core::kMostRateJobs);
  Wish wish{};
  wish.kind = LimitKind::rate;
  const auto jobs = pg::optional_int(fcinfo, 1, "jobs", 1, kMost);
  const int64 interval = pg::required_interval(
      fcinfo, 2, "per_interval", core::kShortestRateInterval, core::kLongestRateInterval);
  const auto burst = pg::optional_int(fcinfo, 3, "burst", 1, kMost);
  wish.removes = !jobs.has_value();
  if (jobs)
    wish.rate = core::Rate{static_cast<uint32>(*jobs), static_cast<uint32>(burst.value_or(*jobs)),
                           interval};
  wish.scope = read_scope(fcinfo, 4);
  read_group(fcinfo, 5, &wish);
  return wish;
}

bool is_in(const QueueLimits& limits, LimitKind kind, std::string_view group) {
  return group == limits.group_of(kind);
}

void set_group_limit(const Wish& wish, QueueLimits* limits) {
  if (wish.kind == LimitKind::concurrency)
    limits->group_max_in_flight = wish.removes ? core::kUnlimited : wish.max_in_flight;
  else
    limits->group_rate = wish.rate;
  char(&name)[core::kGroupNameSize] = limits->group[static_cast<int>(wish.kind)];
  memset(name, 0, sizeof(name));
  if (!wish.removes) memcpy(name, wish.group.data(), wish.group.size());
}

void set_own_limit(const Wish& wish, uint32* max_in_flight, core::Rate* rate) {
  if (wish.kind == LimitKind::concurrency)
    *max_in_flight = wish.max_in_flight;
  else
    *rate = wish.rate;
}

void apply_to_queue(const store::QueueInfo& queue, const Wish& wish) {
  QueueLimits limits = queue.limits;
  switch (wish.scope) {
    case Scope::queue:
      set_own_limit(wish, &limits.max_in_flight, &limits.rate);
      break;
    case Scope::key:
      set_own_limit(wish, &limits.key_max_in_flight, &limits.key_rate);
      break;
    case Scope::group:
      set_group_limit(wish, &limits);
      break;
  }
  if (limits != queue.limits) store::update_limits(queue, limits);
}

void require_member(const store::QueueInfo& queue, const Wish& wish) {
  if (wish.group.empty() || is_in(queue.limits, wish.kind, wish.group)) return;
  const char* const other = queue.limits.group_of(wish.kind);
  pg::raise_invalid(
      psprintf("queue \"%s\" does not share a limit of group \"%s\"", queue.name,
               pg::copy(wish.group)),
      other[0] == '\0' ? "It shares none." : psprintf("It shares one of group \"%s\".", other),
      "Leave limit_group out, or name the group that the queue is in. The view limits shows it.");
}

struct Members {
  const Wish* wish;
  core::QueueId* ids;
  int count;
};

/* The queues of the group, whose limit is no more one queue's affair. */
Members members_of_group(const Wish& wish) {
  Members members{&wish, pg::allocate<core::QueueId>(core::kMostQueues), 0};
  store::for_each_queue(
      [](const store::QueueInfo& info, void* arg) {
        auto* const found = static_cast<Members*>(arg);
        if (is_in(info.limits, found->wish->kind, found->wish->group) &&
            found->count < static_cast<int>(core::kMostQueues))
          found->ids[found->count++] = info.id;
      },
      &members);
  return members;
}

/* Whoever joins a group uses up what the others may do. */
void require_group(const Members& members) {
  for (int i = 0; i < members.count; i++)
    if (!store::may(members.ids[i], store::Right::operate))
      pg::raise(DW_INSUFFICIENT_PRIVILEGE,
                psprintf("permission denied for limit_group \"%s\"", pg::copy(members.wish->group)),
                "Queues that you may not operate share it.",
                "Name another group, or ask for operate on all of its queues: "
                "durable_work.grant_queue.");
}

/* The other queues of the group get the same limit. */
void apply_to_group(core::QueueId first, const Members& members) {
  for (int i = 0; i < members.count; i++) {
    if (members.ids[i] == first || !store::lock_queue(members.ids[i])) continue;
    /* A copy: writing the row forgets what was read. */
    const store::QueueInfo* const known = store::find_queue_by_id(members.ids[i]);
    if (known == nullptr) continue;
    const store::QueueInfo queue = *known;
    apply_to_queue(queue, *members.wish);
  }
}

Datum set_limit(FunctionCallInfo fcinfo, Wish (*read)(FunctionCallInfo), const char* command) {
  runtime::require_preloaded();
  const std::string_view name = pg::required_text(fcinfo, 0, "queue", 1, core::kQueueNameSize - 1);
  const Wish wish = read(fcinfo);
  runtime::require_writable(command);
  if (wish.scope == Scope::group) queue::lock_ties();
  const store::QueueInfo queue = store::lock_newest(name);
  if (wish.removes) require_member(queue, wish);
  if (wish.scope != Scope::group || wish.removes) {
    apply_to_queue(queue, wish);
    return pg::void_result();
  }
  const Members members = members_of_group(wish);
  require_group(members);
  apply_to_queue(queue, wish);
  apply_to_group(queue.id, members);
  return pg::void_result();
}

}  // namespace

extern "C" Datum dw_set_concurrency_limit_body(FunctionCallInfo fcinfo) {
  return set_limit(fcinfo, concurrency_wish, "set_concurrency_limit()");
}

extern "C" Datum dw_set_rate_limit_body(FunctionCallInfo fcinfo) {
  return set_limit(fcinfo, rate_wish, "set_rate_limit()");
}
