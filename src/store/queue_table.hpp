/*
 * The rows of durable_work.queue and durable_work.topic: written here and nowhere else, with the
 * intent that tells the dispatcher at commit. All of it runs as the owner of the extension.
 */
#pragma once

#include "core/dispatcher.hpp"

#include "pg/headers.hpp"
#include "store/catalog.hpp"

#include <string_view>

namespace dw::store {

/* Everything that can be set on a queue. Times in microseconds. */
struct QueueSettings {
  core::QueueOptions options;
  int64 retention = 24 * USECS_PER_HOUR;
  int64 dedupe_window = 7 * USECS_PER_DAY;
  int64 max_payload = 1024 * 1024;     /* bytes */
  core::QueueId dead_letter_queue = 0; /* none */
};

QueueSettings settings_of(const QueueInfo& queue);

/*
 * Makes the queue and its topic. False: the name is taken, by a queue that this transaction can see
 * now (whoever made it at the same time has been waited for).
 */
bool insert_queue(std::string_view name, const QueueSettings& settings);

/* Locks the queue's row; false when it is gone. The catalog then shows its newest version. */
bool lock_queue(core::QueueId id);

/* The queue of that name as its locked row says, if the current user may operate it. Two changes at
 * a time wait for each other, so none is lost. */
const QueueInfo& lock_newest(std::string_view name);

/* The next look-up of a queue reads the tables. */
void forget_queues();

void update_queue(const QueueInfo& queue, const QueueSettings& settings);

/* The queue's row is locked. */
void update_limits(const QueueInfo& queue, const core::QueueLimits& limits);

/* Removes the queue, its topic, its idempotency keys and its dead letters, and takes it out of the
 * options of queues whose dead letters went to it. Its rows of the log stay
 * and are ignored, because its numbers are never given again. */
void delete_queue(const QueueInfo& queue);

/*
 * Unfinished jobs of the queue in the log, as a new snapshot sees them. With parked_only just those
 * that sleep beyond the timer horizon. Reads the whole log.
 */
int64 count_unfinished(const QueueInfo& queue, bool parked_only);

}  // namespace dw::store
