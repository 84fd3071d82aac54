/* The hash of a partition key is part of the contract: clients compute it too. */
#include "core/hash.hpp"

#include <gtest/gtest.h>

namespace dw::core {
namespace {

struct Vector {
  const char* key;
  std::uint32_t hash;
  std::uint32_t bucket;
};

TEST(Hash, MatchesThePublishedVectors) {
  const Vector vectors[] = {
      {"a", 3826002220U, 340},
      {"order:9182", 3305852971U, 331},
      {"user:42", 795573122U, 122},
      {"checkout:9182", 1652481609U, 249},
      {"send_receipt:9182", 1740659014U, 334},
      {"caf\xC3\xA9", 2821410889U, 169},
  };
  for (const Vector& vector : vectors) {
    EXPECT_EQ(fnv1a32(vector.key), vector.hash) << vector.key;
    EXPECT_EQ(bucket_of(fnv1a32(vector.key), 360), vector.bucket) << vector.key;
  }
  EXPECT_EQ(fnv1a32("worker-A#37"), 3156980020U);
}

TEST(Hash, OfTheEmptyKeyIsTheOffset) { EXPECT_EQ(fnv1a32(""), 2166136261U); }

TEST(Hash, TakesBytesAboveAsciiAsUnsigned) {
  /* One step by hand: (offset xor 0xFF) * prime. */
  EXPECT_EQ(fnv1a32("\xFF"), static_cast<std::uint32_t>((2166136261ULL ^ 0xFFU) * 16777619ULL));
}

TEST(Hash, CountsAZeroByteAsPartOfTheKey) {
  EXPECT_NE(fnv1a32(std::string_view("a\0b", 3)), fnv1a32("ab"));
  EXPECT_NE(fnv1a32(std::string_view("\0", 1)), fnv1a32(""));
}

TEST(Hash, OfAnIdIsTheHashOfItsEightBytesMostSignificantFirst) {
  EXPECT_EQ(fnv1a32_of_id(0x0102030405060708LL), fnv1a32("\x01\x02\x03\x04\x05\x06\x07\x08"));
  EXPECT_EQ(fnv1a32_of_id(1), fnv1a32(std::string_view("\0\0\0\0\0\0\0\x01", 8)));
  EXPECT_EQ(fnv1a32_of_id(-1), fnv1a32("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"));
}

TEST(Hash, PutsEveryKeyIntoABucketBelowTheCount) {
  /* A signed modulo would give a negative bucket for half of all keys. */
  for (std::int64_t id = 0; id < 10000; id++) EXPECT_LT(bucket_of(fnv1a32_of_id(id), 360), 360U);
}

TEST(Hash, SpreadsConsecutiveIdsOverAllBuckets) {
  int jobs_in[360] = {};
  for (std::int64_t id = 1; id <= 36000; id++) jobs_in[bucket_of(fnv1a32_of_id(id), 360)]++;
  for (const int jobs : jobs_in) {
    EXPECT_GT(jobs, 20);
    EXPECT_LT(jobs, 300);
  }
}

}  // namespace
}  // namespace dw::core
