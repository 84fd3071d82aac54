/* Registered workers, and claims of jobs of their own buckets. */
#pragma once

#include "arena_fixture.hpp"

#include <algorithm>
#include <set>
#include <string>

namespace dw::test {

class MemberTest : public ArenaTest {
 protected:
  static constexpr Micros kDeadAfter = 30 * kSecond;

  static MemberRow member_row(std::string_view name, std::int64_t instance,
                              const std::vector<QueueId>& queues, std::uint32_t vnodes = 150) {
    MemberRow row{};
    row.instance = instance;
    row.drain_deadline = kNever;
    row.vnodes = vnodes;
    row.queue_count = static_cast<std::uint32_t>(queues.size());
    std::copy(queues.begin(), queues.end(), row.queues);
    name.copy(row.name, sizeof(row.name) - 1);
    name.copy(row.utf8_name, sizeof(row.utf8_name) - 1);
    return row;
  }
  MemberRef add(std::string_view name, const std::vector<QueueId>& queues = {1},
                std::int64_t instance = 0) {
    if (instance == 0) instance = next_instance_++;
    EXPECT_EQ(d().add_member(database_, member_row(name, instance, queues)), MemberChange::done);
    return member(name);
  }
  MemberRef member(std::string_view name) { return d().find_member(database_, name, &facts_); }
  std::int64_t instance_of(std::string_view name) {
    member(name);
    return facts_.instance;
  }
  bool drain(std::string_view name, Micros deadline) {
    MemberRow row = member_row(name, instance_of(name), {1});
    row.drain_deadline = deadline;
    return d().add_member(database_, row) == MemberChange::done;
  }
  bool remove(std::string_view name) {
    return d().remove_member(database_, name, instance_of(name));
  }

  std::set<std::uint32_t> buckets_of(std::string_view name, QueueId queue = 1) {
    std::uint16_t out[kMostBuckets];
    const std::uint32_t n =
        d().owned_buckets(d().find_queue(database_, queue), queue, member(name), out);
    return {out, out + n};
  }
  std::string owner_of(std::uint32_t key_hash, QueueId queue = 1) {
    char name[kWorkerNameSize];
    return d().owner_of_bucket(d().find_queue(database_, queue), queue, key_hash, name) == kNone
               ? ""
               : name;
  }
  /* A key of a bucket that the worker owns. */
  std::uint32_t key_of(std::string_view name, QueueId queue = 1) {
    return *buckets_of(name, queue).begin();
  }
  JobRow keyed(QueueId queue, JobId id, std::uint32_t key_hash) {
    JobRow row = row_of(queue, id);
    row.key_hash = key_hash;
    return row;
  }
  std::vector<ClaimedJob> claim_owned(std::string_view name, std::uint32_t n = 1, QueueId queue = 1,
                                      std::uint32_t capacity = 0) {
    std::vector<ClaimedJob> jobs(n);
    const Claimant claimant{member(name), capacity, true};
    const std::uint32_t taken = d().claim(ref_of(queue), worker(name, facts_.instance), 0,
                                          jobs.data(), n, nullptr, kNone, &claimant);
    jobs.resize(taken == kWorkerGone ? 0 : taken);
    return jobs;
  }
  std::vector<JobId> owned_ids(std::string_view name, std::uint32_t n, QueueId queue = 1) {
    std::vector<JobId> ids;
    for (const ClaimedJob& job : claim_owned(name, n, queue)) ids.push_back(job.id);
    return ids;
  }
  void resize(std::int32_t buckets, QueueId queue = 1) {
    QueueOptions options = slot(d().find_queue(database_, queue)).options;
    options.buckets = buckets;
    d().set_queue_options(database_, queue, options);
  }

 private:
  MemberFacts facts_{};
  std::int64_t next_instance_ = 1;
};

}  // namespace dw::test
