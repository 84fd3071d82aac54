/*
 * libFuzzer: bodies of outcome rows, damaged and whole. A body is never read past its end, what is
 * read of one adds up in any order, and what is packed is read as it was.
 */
#include "core/outcome.hpp"
#include "core/known_outcomes.hpp"

#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

namespace {

using namespace dw::core;

/* In memory of just that size, so that one byte too far is seen. */
std::vector<OutcomeMember> read_all(JobId first, bool batch, const unsigned char* body,
                                    std::size_t length, OutcomeKind* kind) {
  const auto exact = std::make_unique<unsigned char[]>(length);
  if (length > 0) std::memcpy(exact.get(), body, length);
  OutcomeReader reader(first, batch, exact.get(), length);
  std::vector<OutcomeMember> members;
  OutcomeMember member{};
  while (members.size() < 2 * kMostBody && reader.next(&member)) members.push_back(member);
  *kind = reader.kind();
  return members;
}

void read_damaged(const unsigned char* data, std::size_t size) {
  OutcomeKind kind{};
  for (const bool batch : {false, true}) {
    const std::vector<OutcomeMember> members = read_all(1000, batch, data, size, &kind);
    if (members.size() > size + 1) std::abort();
    OutcomeSum forwards;
    OutcomeSum backwards;
    for (std::size_t i = 0; i < members.size(); i++) {
      forwards.add(kind, members[i]);
      backwards.add(kind, members[members.size() - 1 - i]);
    }
    if (forwards.finished() != backwards.finished() || forwards.due() != backwards.due() ||
        forwards.attempts() != backwards.attempts())
      std::abort();
    KnownOutcomes known;
    (void)known.add(0, 1000, batch, data, size);
  }
}

/* The bytes say kind, time and members. */
void pack_and_read(const unsigned char* data, std::size_t size) {
  if (size < 9) return;
  const auto kind = static_cast<OutcomeKind>(data[0] & 0x0F);
  const auto number = [data, size](std::size_t at) {
    std::uint32_t value = 0;
    std::memcpy(&value, data + at % (size - 4), sizeof value);
    return value;
  };
  const Micros at = 833'500'800LL * kSecond + number(1);
  std::vector<OutcomeMember> members;
  JobId id = 1 + number(5);
  for (std::size_t i = 5; i + 4 < size && members.size() < 3000; i += 3) {
    id += 1 + data[i] % 7;
    const Micros due = data[i] % 3 == 0 ? 0 : whole_milliseconds(at + number(i + 1));
    members.push_back(OutcomeMember{id, static_cast<Token>(number(i)) << 20,
                                    static_cast<std::int32_t>(data[i + 1] * 128 % kMostAttempts),
                                    due});
  }
  if (members.empty()) return;
  unsigned char body[kMostBody];
  std::size_t length = 0;
  const std::size_t packed =
      pack_outcome(kind, at, 7, members.data(), members.size(), body, &length);
  if (packed < 1 || packed > members.size() || length > kMostBody) std::abort();
  OutcomeKind found{};
  const std::vector<OutcomeMember> read = read_all(members[0].id, packed > 1, body, length, &found);
  if (found != kind || read.size() != packed) std::abort();
  for (std::size_t i = 0; i < packed; i++) {
    if (read[i].id != members[i].id || read[i].token != members[i].token) std::abort();
    if (!has_schedule(kind)) continue;
    if (read[i].attempt != members[i].attempt) std::abort();
    /* The row's time is whole milliseconds: a due time at that very moment is none. */
    const bool same = read[i].next_due == members[i].next_due;
    if (!same && !(read[i].next_due == 0 && members[i].next_due - at < kMillisecond)) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  read_damaged(data, size);
  pack_and_read(data, size);
  return 0;
}
