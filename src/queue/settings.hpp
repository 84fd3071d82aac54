/*
 * The options of create_queue and alter_queue, in the order in which both take them.
 */
#pragma once

#include "core/dispatcher.hpp"

#include "pg/headers.hpp"
#include "store/queue_table.hpp"

namespace dw::queue {

/* Arguments 1 to 20 of both functions; 0 is the queue's name. */
constexpr int kFirstOption = 1;
constexpr int kLastOption = 20;

/*
 * Puts the options that are given (not null) in place of those in *settings and checks each and all
 * together: 22023. keep_null false: a null raises 22004.
 */
void read_settings(FunctionCallInfo fcinfo, bool keep_null, store::QueueSettings* settings);

/* Whether a dead_letter_queue is named: then lock_ties() comes before read_settings(). */
bool ties_dead_letters(FunctionCallInfo fcinfo);

/* Sentence that names what differs, or nullptr when nothing does. `paused` is no option. */
const char* describe_difference(const store::QueueSettings& is, const store::QueueSettings& given);

}  // namespace dw::queue
