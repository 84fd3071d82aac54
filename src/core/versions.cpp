#include "core/versions.hpp"

#include <optional>

namespace dw::core {

namespace {

constexpr std::size_t kMostParts = 4;
constexpr std::uint32_t kLargestPart = 99'999;

// Missing parts are 0: 0.2 is 0.2.0.
using Version = std::array<std::uint32_t, kMostParts>;

std::optional<std::uint32_t> read_part(std::string_view text) noexcept {
  if (text.empty()) return std::nullopt;
  std::uint32_t value = 0;
  for (const char digit : text) {
    if (digit < '0' || digit > '9') return std::nullopt;
    value = value * 10 + static_cast<std::uint32_t>(digit - '0');
    if (value > kLargestPart) return std::nullopt;
  }
  return value;
}

std::optional<Version> read_version(std::string_view text) noexcept {
  text = text.substr(0, text.find('-'));
  Version version{};
  for (std::uint32_t& part : version) {
    const std::size_t dot = text.find('.');
    const std::optional<std::uint32_t> value = read_part(text.substr(0, dot));
    if (!value) return std::nullopt;
    part = *value;
    if (dot == std::string_view::npos) return version;
    text.remove_prefix(dot + 1);
  }
  return std::nullopt;
}

}  // namespace

VersionFit judge_version(std::string_view sql, std::string_view library,
                         std::span<const std::string_view> also_served) noexcept {
  const std::optional<Version> own = read_version(library);
  const std::optional<Version> other = read_version(sql);
  if (!own || !other) return VersionFit::unknown;
  if (*own == *other) return VersionFit::fits;
  for (const std::string_view served : also_served) {
    if (read_version(served) == other) return VersionFit::fits;
  }
  return *other < *own ? VersionFit::sql_is_older : VersionFit::sql_is_newer;
}

}  // namespace dw::core
