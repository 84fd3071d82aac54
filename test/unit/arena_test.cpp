/* What processes rely on that meet in the arena without a lock, or by different locks. */
#include "arena_fixture.hpp"

#include "core/token.hpp"

namespace dw::test {
namespace {

class ArenaRules : public ArenaTest {
 protected:
  Database& database() { return d().arena().databases[database_]; }
};

/* Two stripes of one bucket would change one chain under two locks. */
TEST_F(ArenaRules, ABucketOfAHashLiesInOneStripe) {
  for (const std::uint32_t entries : {1U, 16U, 64U, 128U, 129U, 1000U, 4096U}) {
    start(entries);
    for (const std::uint32_t mask : {d().arena().bucket_mask, d().arena().key_mask,
                                     d().arena().limited_key_mask, kMostWeightedKeys - 1})
      EXPECT_EQ((mask + 1) % kHashStripes, 0) << entries;
  }
}

/* Who holds a queue's lock knows its entries by that; another queue may be filling a free one. */
TEST_F(ArenaRules, AFreeEntryBelongsToNoQueue) {
  add_queue(1);
  for (std::uint32_t i = 0; i < d().arena().capacity; i++)
    EXPECT_EQ(d().arena().entries[i].queue, kNoQueue);
  const EntryRef reference = put(row_of(1, 1));
  EXPECT_NE(entry(reference).queue, kNoQueue);
  EXPECT_EQ(decide(claim_one(1), Decision::finish), Verdict::ok);
  EXPECT_EQ(entry(reference).queue, kNoQueue);
  EXPECT_FALSE(d().is_entry_of(reference, 1));
}

TEST_F(ArenaRules, ARaisedEpochBeginsItsTokensAnew) {
  const Token first = d().take_tokens(database_, 3);
  EXPECT_EQ(first, make_token(kEpoch, 1));
  d().open_database(database_, kEpoch + 1);
  EXPECT_EQ(d().take_tokens(database_, 1), make_token(kEpoch + 1, 1));
}

/* However many come while the raise is not durable. */
TEST_F(ArenaRules, TheEndOfAnEpochLeadsIntoNoOther) {
  database().last_token.store(make_token(kEpoch, kCounterEnd - 3));
  EXPECT_EQ(d().take_tokens(database_, 1), make_token(kEpoch, kCounterEnd - 2));
  for (int i = 0; i < 1000; i++) EXPECT_EQ(d().take_tokens(database_, 1U << 20), 0);
  EXPECT_LE(database().last_token.load(), make_token(kEpoch, kCounterEnd));
  d().open_database(database_, kEpoch + 1);
  EXPECT_EQ(d().take_tokens(database_, 1), make_token(kEpoch + 1, 1));
}

}  // namespace
}  // namespace dw::test
