#include "shared_log.hpp"

namespace dw::test {

namespace {

struct KeptOutcome {
  JobId first_id;
  bool batch;
  std::vector<unsigned char> body;
};

class KeepJobs : public JobSink {
 public:
  bool take(const StoredJob& job) override {
    jobs.push_back(job);
    return true;
  }
  void give_to(JobSink& sink) const {
    for (const StoredJob& job : jobs) {
      if (!sink.take(job)) return;
    }
  }
  std::vector<StoredJob> jobs;
};

class KeepOutcomes : public OutcomeSink {
 public:
  bool take(const StoredOutcome& outcome) override {
    outcomes.push_back(
        KeptOutcome{outcome.first_id, outcome.batch,
                    std::vector<unsigned char>(outcome.body, outcome.body + outcome.length)});
    return true;
  }
  void give_to(OutcomeSink& sink) const {
    for (const KeptOutcome& one : outcomes) {
      if (!sink.take(StoredOutcome{one.first_id, one.batch, one.body.data(), one.body.size()}))
        return;
    }
  }
  std::vector<KeptOutcome> outcomes;
};

}  // namespace

/* The callback that notes the pages is core, and comes after the commit is to be seen. */
void SharedStore::commit() {
  within([this] { store_.commit(); });
}

void SharedStore::scan_jobs(std::uint8_t segment, std::uint32_t block, JobSink& sink) {
  KeepJobs kept;
  within([&] { store_.scan_jobs(segment, block, kept); });
  kept.give_to(sink);
}

void SharedStore::scan_outcomes(std::uint8_t segment, std::uint32_t block, OutcomeSink& sink) {
  KeepOutcomes kept;
  within([&] { store_.scan_outcomes(segment, block, kept); });
  kept.give_to(sink);
}

void SharedStore::scan_parked(std::int32_t topic, ParkedPlace after, Micros until, JobSink& sink) {
  KeepJobs kept;
  within([&] { store_.scan_parked(topic, after, until, kept); });
  kept.give_to(sink);
}

void SharedStore::scan_parked_by_id(JobId after, JobSink& sink) {
  KeepJobs kept;
  within([&] { store_.scan_parked_by_id(after, kept); });
  kept.give_to(sink);
}

void SharedStore::write_expiries(const Expiry* expiries, std::size_t n, Micros now) {
  for (std::size_t i = 0; i < n; i++) on_expiry(expiries[i]);
  within([&] { store_.write_expiries(expiries, n, now); });
}

}  // namespace dw::test
