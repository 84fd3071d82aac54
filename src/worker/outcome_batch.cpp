#include "worker/outcome_batch.hpp"

#include "pg/memory.hpp"
#include "runtime/session.hpp"
#include "store/outcome_log.hpp"

namespace dw::worker {

namespace {

// Rows come in the order of the members they cover.
struct Writing {
  const DecidedJob* next;
};

void note_row(uint8 segment, uint32 block, int members, void* arg) {
  auto* const writing = static_cast<Writing*>(arg);
  for (int i = 0; i < members; i++)
    runtime::transaction().note_outcome_row((writing->next++)->action, segment, block);
}

int by_place(const void* a, const void* b) {
  const auto* const left = static_cast<const DecidedJob*>(a);
  const auto* const right = static_cast<const DecidedJob*>(b);
  if (left->queue != right->queue) return left->queue < right->queue ? -1 : 1;
  if (left->segment != right->segment) return left->segment < right->segment ? -1 : 1;
  if (left->member.id != right->member.id) return left->member.id < right->member.id ? -1 : 1;
  return 0;
}

}  // namespace

DecidedJob decided_job(const core::Decided& decided, std::size_t action, int32 attempt,
                       core::Micros next_due) {
  return {{decided.id, decided.token, attempt, next_due},
          action,
          decided.queue_id,
          decided.segment,
          core::Decision::finish,
          0};
}

void write_outcome(core::OutcomeKind kind, TimestampTz at, const DecidedJob& job,
                   std::optional<Datum> detail, core::Decision decision, core::Micros due) {
  Writing writing{&job};
  store::insert_outcome(kind, at, job.queue, job.segment, &job.member, 1, detail.value_or(Datum{0}),
                        detail.has_value(), note_row, &writing);
  runtime::transaction().settle(job.action, decision, kind, due);
}

void write_outcomes(core::OutcomeKind kind, TimestampTz at, DecidedJob* jobs, int n,
                    std::optional<Datum> detail) {
  if (n > 1) qsort(jobs, static_cast<Size>(n), sizeof(DecidedJob), by_place);
  core::OutcomeMember* const members = pg::allocate<core::OutcomeMember>(static_cast<Size>(n));
  for (int first = 0; first < n;) {
    int end = first;
    while (end < n && jobs[end].queue == jobs[first].queue &&
           jobs[end].segment == jobs[first].segment) {
      members[end - first] = jobs[end].member;
      end++;
    }
    Writing writing{&jobs[first]};
    store::insert_outcome(kind, at, jobs[first].queue, jobs[first].segment, members, end - first,
                          detail.value_or(Datum{0}), detail.has_value(), note_row, &writing);
    first = end;
  }
  for (int i = 0; i < n; i++)
    runtime::transaction().settle(jobs[i].action, jobs[i].decision, kind, jobs[i].due);
}

}  // namespace dw::worker
