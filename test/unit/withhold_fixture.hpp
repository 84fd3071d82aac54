/* What the tests of purges share: how often the log says that jobs ended, and what is listed. */
#pragma once

#include "client_fixture.hpp"

#include <algorithm>

namespace dw::test {

class Withhold : public ClientTest {
 protected:
  using Ids = std::vector<JobId>;
  QueueRef slot_ref() { return ref_of(1); }
  /* How often the log says that each job ended. */
  std::map<JobId, int> ends() {
    std::map<JobId, int> ends;
    for (std::uint8_t segment = 0; segment < kStores; segment++) {
      for (const auto& page : log().outcome_pages(segment)) {
        for (const OutcomeOnPage& outcome : page) {
          if (!log().sees(log().snapshot(), outcome.xid)) continue;
          OutcomeReader reader(outcome.first_id, outcome.batch, outcome.body.data(),
                               outcome.body.size());
          OutcomeMember member{};
          while (reader.next(&member)) ends[member.id] += is_final(reader.kind()) ? 1 : 0;
        }
      }
    }
    return ends;
  }
  void expect_each_ended_once(JobId first, JobId last) {
    std::map<JobId, int> wrong = ends();
    for (JobId id = first; id <= last; id++) wrong[id]--;
    std::erase_if(wrong, [first, last](const auto& job) {
      return job.second == 0 || job.first < first || job.first > last;
    });
    EXPECT_EQ(wrong, (std::map<JobId, int>{})) << "ended so much too often";
  }
  Ids list(const ListWish& wish) {
    Ids ids;
    std::vector<ListedJob> listed(kEntriesPerHold);
    for (Index position = 0; position < d().arena().capacity;) {
      const std::uint32_t n = d().list_jobs(slot_ref(), wish, &position, listed.data());
      for (std::uint32_t i = 0; i < n; i++) ids.push_back(listed[i].id);
    }
    std::sort(ids.begin(), ids.end());
    return ids;
  }
  /* The steps of a purge, with something else before each of them and in front of the commit. */
  void purge_with(Client& mine, const std::function<void()>& between) {
    between();
    ASSERT_TRUE(mine.withhold(1));
    between();
    mine.purge_resident();
    between();
    mine.look();
    between();
    mine.purge_on_disk(kParkedSegment);
    between();
    if (!mine.all_resident()) mine.purge_on_disk(0);
    between();
    mine.stop_reading();
    between();
  }
};

}  // namespace dw::test
