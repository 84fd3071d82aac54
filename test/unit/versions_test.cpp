// Which SQL a library serves: its own, revisions of it, and what it names.
#include <array>

#include <gtest/gtest.h>

#include "core/versions.hpp"

namespace dw::core {
namespace {

constexpr std::array<std::string_view, 2> kOlder = {"1.9.3", "1.10.0"};

VersionFit judge(std::string_view sql) { return judge_version(sql, "1.10.2", kOlder); }

TEST(Versions, TheOwnVersionFits) {
  EXPECT_EQ(judge("1.10.2"), VersionFit::fits);
  EXPECT_EQ(judge_version(kLibraryVersion), VersionFit::fits);
}

TEST(Versions, ARevisionOfTheSqlFits) {
  EXPECT_EQ(judge("1.10.2-1"), VersionFit::fits);
  EXPECT_EQ(judge("1.10.2-rc.1"), VersionFit::fits);
  EXPECT_EQ(judge_version("1.10.2", "1.10.2-1", {}), VersionFit::fits);
}

TEST(Versions, NamedOnesFit) {
  EXPECT_EQ(judge("1.9.3"), VersionFit::fits);
  EXPECT_EQ(judge("1.10.0"), VersionFit::fits);
  EXPECT_EQ(judge("1.10"), VersionFit::fits);
}

TEST(Versions, NumbersAreComparedAsNumbers) {
  EXPECT_EQ(judge("1.9.4"), VersionFit::sql_is_older);
  EXPECT_EQ(judge("1.10.1"), VersionFit::sql_is_older);
  EXPECT_EQ(judge("0.99"), VersionFit::sql_is_older);
  EXPECT_EQ(judge("1.10.10"), VersionFit::sql_is_newer);
  EXPECT_EQ(judge("1.10.2.1"), VersionFit::sql_is_newer);
  EXPECT_EQ(judge("1.11"), VersionFit::sql_is_newer);
  EXPECT_EQ(judge("2"), VersionFit::sql_is_newer);
}

TEST(Versions, WhatIsNoVersionFitsNowhere) {
  for (const std::string_view text :
       {"", "-", "-1", ".", "1.", ".1", "1..2", "1.10.2.", "1.10.2.0.0", "one", "1.10.2b",
        "1.10.+2", " 1.10.2", "1.10.100000", "99999999999999999999999"})
    EXPECT_EQ(judge(text), VersionFit::unknown) << text;
  EXPECT_EQ(judge_version("1.0", "", {}), VersionFit::unknown);
}

}  // namespace
}  // namespace dw::core
