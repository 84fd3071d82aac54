/*
 * The log of test/sim for many threads: whoever uses it holds its mutex.
 *
 * To ThreadSanitizer the log is not there: it does not see who came after whom in it. The order in
 * which threads wrote their rows would otherwise be taken for one between their uses of the arena,
 * and would hide most of what is missing there.
 */
#pragma once

#include "fake_store.hpp"

#include <mutex>

#ifdef __SANITIZE_THREAD__
#define DW_THREADS_WATCHED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define DW_THREADS_WATCHED 1
#endif
#endif

#ifdef DW_THREADS_WATCHED
extern "C" {
void AnnotateIgnoreSyncBegin(const char* file, int line);
void AnnotateIgnoreSyncEnd(const char* file, int line);
void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);
void AnnotateIgnoreWritesBegin(const char* file, int line);
void AnnotateIgnoreWritesEnd(const char* file, int line);
}
#endif

namespace dw::test {

/* What happens in its scope is not watched. */
class Unwatched {
 public:
#ifdef DW_THREADS_WATCHED
  Unwatched() {
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
    AnnotateIgnoreSyncBegin(__FILE__, __LINE__);
  }
  ~Unwatched() {
    AnnotateIgnoreSyncEnd(__FILE__, __LINE__);
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
  }
#else
  Unwatched() {}
  ~Unwatched() {}
#endif
  Unwatched(const Unwatched&) = delete;
  Unwatched& operator=(const Unwatched&) = delete;
};

class SharedLog {
 public:
  /* Calls use(log), which must not call the core. */
  template <typename Use>
  auto with(Use use) {
    const Unwatched unwatched;
    const std::lock_guard guard(mutex_);
    return use(log_);
  }

 private:
  friend class SharedStore;
  std::mutex mutex_;
  FakeLog log_{16};
};

/* The housekeeper's view. Rows are copied out before the core gets them. */
class SharedStore : public Store {
 public:
  SharedStore(SharedLog* log, Dispatcher* dispatcher, Index database)
      : log_(log), store_(&log->log_, 0, dispatcher, database) {}

  /* Called for each expiry, before it is committed. */
  std::function<void(const Expiry&)> on_expiry;

  void begin() override {
    within([this] { store_.begin(); });
  }
  std::uint64_t log_position() override {
    return within([this] { return store_.log_position(); });
  }
  void commit() override;
  void abort() noexcept override {
    within([this] { store_.abort(); });
  }
  std::uint32_t job_blocks(std::uint8_t segment) override {
    return within([this, segment] { return store_.job_blocks(segment); });
  }
  std::uint32_t outcome_blocks(std::uint8_t segment) override {
    return within([this, segment] { return store_.outcome_blocks(segment); });
  }
  void scan_jobs(std::uint8_t segment, std::uint32_t block, JobSink& sink) override;
  void scan_outcomes(std::uint8_t segment, std::uint32_t block, OutcomeSink& sink) override;
  void scan_parked(std::int32_t topic, ParkedPlace after, Micros until, JobSink& sink) override;
  void scan_parked_by_id(JobId after, JobSink& sink) override;
  JobId first_job_id(std::uint8_t segment, std::uint32_t block) override {
    return within([this, segment, block] { return store_.first_job_id(segment, block); });
  }
  /* Nobody blocks a key, weighs one in the table, or prepares a transaction. */
  void scan_key_blocks(KeyBlockSink&) override {}
  void scan_key_weights(KeyWeightSink&) override {}
  void remove_key_block(QueueId, JobId) override {}
  std::size_t list_prepared(TransactionNumber*, std::size_t) override { return 0; }
  void scan_open_jobs(std::uint8_t, std::uint32_t, PreparedSink&) override {}
  void scan_open_outcomes(std::uint8_t, std::uint32_t, PreparedSink&) override {}
  void scan_open_parked(PreparedSink&) override {}
  Fate fate(TransactionNumber) override { return Fate::forgotten; }
  void write_expiries(const Expiry* expiries, std::size_t n, Micros now) override;

 private:
  template <typename Call>
  auto within(Call call) -> decltype(call()) {
    const Unwatched unwatched;
    const std::lock_guard guard(log_->mutex_);
    return call();
  }

  SharedLog* log_;
  FakeStore store_;
};

}  // namespace dw::test
