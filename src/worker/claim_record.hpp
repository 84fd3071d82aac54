// Claims that are written to the log: those of queues with delivery at_most_once or durable_claims.
#pragma once

#include "core/dispatcher.hpp"

#include "pg/headers.hpp"

namespace dw::worker {

// Raises 25001 unless the claim is all of its transaction, which then commits with the statement,
// before its end is told to the client.
void require_plain_statement(std::string_view queue, const EState* statement);

// Writes that these jobs are handed out, those without a token left out, and lets the transaction
// reach the disk before it ends. first: number of the transaction's action for jobs[0].
void record_claims(core::QueueId queue, std::string_view worker, const core::ClaimedJob* jobs,
                   uint32 n, std::size_t first);

}  // namespace dw::worker
