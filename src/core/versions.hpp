// Which versions of the extension's SQL this library serves.
//
// The library is loaded once, at server start; the SQL (tables, functions, views) is changed by
// ALTER EXTENSION, database by database. So the two can be of different versions: after the restart
// and before the UPDATE the SQL is older, after a step back to older files it is newer. A library
// works on the SQL of its own version and of those that are named here, and refuses all others: it
// would not find its tables, or read columns as something they are not.
//
// A version is numbers with dots between them. What follows a hyphen, as in 0.2.0-1, is a revision
// of the SQL alone, a comment or a view, for which the same library serves.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace dw::core {

// Versions of the SQL that are served besides the library's own. One belongs here only if the
// library finds every table it looks for (store/catalog.cpp) and takes every function's arguments
// as that version declares them, and a test runs on it.
inline constexpr std::array<std::string_view, 0> kAlsoServed{};

// Set by the build from durable_work.control.
inline constexpr std::string_view kLibraryVersion = DW_VERSION;

enum class VersionFit : std::uint8_t { fits, sql_is_older, sql_is_newer, unknown };

// `unknown`: `sql` is not a version.
VersionFit judge_version(std::string_view sql, std::string_view library,
                         std::span<const std::string_view> also_served) noexcept;

inline VersionFit judge_version(std::string_view sql) noexcept {
  return judge_version(sql, kLibraryVersion, kAlsoServed);
}

}  // namespace dw::core
