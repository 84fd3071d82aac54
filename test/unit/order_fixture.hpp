/* What the tests of turns of keys share: jobs with keys, and dead ones that block theirs. */
#pragma once

#include "load_fixture.hpp"

namespace dw::test {

constexpr std::uint32_t kA = 1;
constexpr std::uint32_t kB = 2;

class Order : public Load {
 protected:
  void SetUp() override { begin(64, LoadMode::live, options()); }
  static QueueOptions options(OnExhausted on_exhausted = OnExhausted::skip) {
    QueueOptions options;
    options.ordered = true;
    options.on_exhausted = on_exhausted;
    options.max_attempts = 2;
    options.backoff = Backoff::fixed;
    options.backoff_base = kMinute;
    options.jitter = 0;
    return options;
  }
  static JobRow keyed(JobId id, std::uint32_t key, Micros due = kAlways) {
    JobRow row = row_of(1, id);
    row.key_hash = key;
    row.key_check = key;
    row.due = due;
    return row;
  }
  /* Committed in the usual way; on the page that this writer used last. */
  JobRow enqueue_keyed(JobId id, std::uint32_t key, Micros due = kAlways,
                       std::uint32_t writer = kClient) {
    JobRow row = keyed(id, key, due);
    const Xid xid = log().begin();
    log().insert_job(xid, writer, 1, &row);
    const EntryRef reference = link(row);
    log().commit(xid);
    publish(row, reference);
    return row;
  }
  /* In the log only. */
  JobRow log_keyed(JobId id, std::uint32_t key, std::uint32_t writer = kClient) {
    JobRow row = keyed(id, key);
    const Xid xid = log().begin();
    log().insert_job(xid, writer, 1, &row);
    log().commit(xid);
    return row;
  }
  std::vector<JobId> claim_all(std::uint32_t n = 50) { return claim_ids(1, n); }
  /* The job dies in a transaction that blocks its key; others may see that and act before its
   * callback runs. */
  void die(const ClaimedJob& job, JobId takes_along = 0, std::uint32_t key = kA,
           const std::function<void()>& before_callback = nullptr) {
    Transaction transaction(&d());
    transaction.set_database(database_, kOid);
    transaction.reserve(1);
    Decided decided{};
    std::size_t action = 0;
    ASSERT_EQ(transaction.begin_decision(1, job.id, job.token, &decided, &action), Verdict::ok);
    const Xid xid = log().begin();
    const auto blocks =
        log().insert_outcome(xid, kClient, decided.segment, OutcomeKind::dead_lettered,
                             platform().wall, 1, {OutcomeMember{job.id, job.token, 1, 0}});
    log().insert_key_block(xid, KeyBlock{1, key, key, job.id, takes_along});
    transaction.settle(action, Decision::block, OutcomeKind::dead_lettered, takes_along);
    transaction.note_outcome_row(action, decided.segment, blocks.at(0));
    log().commit(xid);
    if (before_callback) before_callback();
    transaction.commit(1);
  }
  /* The dead job goes to parked, as a redrive takes it there. */
  void redrive(JobId id, std::uint32_t key = kA,
               const std::function<void()>& before_callback = nullptr) {
    JobRow row = keyed(id, key, platform().wall);
    row.attempts = 0;
    const Xid xid = log().begin();
    log().park_job(xid, kClient, 1, &row);
    const Token token = d().take_tokens(database_, 1);
    const auto blocks = log().insert_outcome(xid, kClient, kParkedSegment, OutcomeKind::redriven,
                                             platform().wall, 1, {OutcomeMember{id, token, 0, 0}});
    log().remove_key_block(xid, 1, id);
    log().commit(xid);
    if (before_callback) before_callback();
    d().note_outcome_page(database_, kParkedSegment, blocks.at(0));
    was_told_ = d().unblock(database_, 1, id, Unblock::retry, 0);
    d().publish_redriven(database_, 1, row.due, token, 1);
  }
  void look_twice() {
    for (int i = 0; i < 3; i++) {
      load();
      platform().advance(kSecond);
    }
    load();
  }
  void remove_block(JobId job) {
    const Xid xid = log().begin();
    log().remove_key_block(xid, 1, job);
    log().commit(xid);
  }
  bool was_told_ = false; /* memory knew of the block that was ended */
};

}  // namespace dw::test
