/* What it means for a job that a claim of it is recorded, and not what became of that. */
#pragma once

#include "core/dispatcher.hpp"

namespace dw::core {

/* Its lease ended with the server, and nobody can tell any more what was done under it. none: it
 * may be tried again. */
constexpr Lapse end_of_claim(const QueueOptions& options, const JobRow& row) noexcept {
  if (!row.claim_is_open) return Lapse::none;
  if (options.at_most_once) return Lapse::outcome_unknown;
  return row.attempts >= most_attempts(options, row.max_attempts) ? Lapse::attempts_exhausted
                                                                  : Lapse::none;
}

}  // namespace dw::core
