// A failure of ours: the one exception type that core throws on purpose.
//
// Text lives in fixed buffers, so copying one cannot fail, and the guard can
// hand it over to C after the exception object is gone. Text that is too long
// is cut at a UTF-8 character boundary.
//
//   throw core::Failure(DW_STALE_LEASE, "lease token {} of job {} is stale", token, job_id)
//       .detail("The job was claimed again by {}.", worker)
//       .hint("Claim again.");
//
// Only core may throw it: building one makes landing pads. Shell code calls
// pg::raise() (src/pg/error.hpp).
#pragma once

#include <cstddef>
#include <cstring>
#include <exception>
#include <iterator>
#include <string_view>
#include <type_traits>
#include <utility>

#include <fmt/format.h>

#include "durable_work/errors.h"

namespace dw::core {

// A NUL-terminated text of at most Size - 1 bytes.
template <std::size_t Size>
class FixedText {
 public:
  FixedText() noexcept { bytes_[0] = '\0'; }

  template <typename... Args>
  void format(fmt::format_string<Args...> pattern, Args&&... args) {
    const auto written = fmt::format_to_n(bytes_, Size - 1, pattern, std::forward<Args>(args)...);
    end_at(written.size);
  }

  [[nodiscard]] const char* c_str() const noexcept { return bytes_; }
  [[nodiscard]] std::string_view view() const noexcept { return bytes_; }

 private:
  // `wanted` is the length the whole text would have had.
  void end_at(std::size_t wanted) noexcept {
    std::size_t length = wanted < Size - 1 ? wanted : Size - 1;
    if (wanted > length) {
      // The first byte left out continues a character: drop the whole character.
      const auto continues = [this](std::size_t at) {
        return (static_cast<unsigned char>(bytes_[at]) & 0xC0U) == 0x80U;
      };
      std::size_t start = length;
      while (start > 0 && continues(start - 1)) --start;
      if (start > 0 && (static_cast<unsigned char>(bytes_[start - 1]) & 0xC0U) == 0xC0U) {
        const auto lead = static_cast<unsigned char>(bytes_[start - 1]);
        const std::size_t size = lead >= 0xF0U ? 4 : lead >= 0xE0U ? 3 : 2;
        if (length - (start - 1) < size) length = start - 1;
      }
    }
    bytes_[length] = '\0';
  }

  char bytes_[Size];
};

class Failure : public std::exception {
 public:
  template <typename... Args>
  explicit Failure(const char (&sqlstate)[6], fmt::format_string<Args...> pattern, Args&&... args) {
    std::memcpy(sqlstate_, sqlstate, sizeof sqlstate_);
    message_.format(pattern, std::forward<Args>(args)...);
  }

  // Full sentences; each may be given once, in a chain behind the constructor.
  template <typename... Args>
  Failure&& detail(fmt::format_string<Args...> pattern, Args&&... args) && {
    detail_.format(pattern, std::forward<Args>(args)...);
    return std::move(*this);
  }
  template <typename... Args>
  Failure&& hint(fmt::format_string<Args...> pattern, Args&&... args) && {
    hint_.format(pattern, std::forward<Args>(args)...);
    return std::move(*this);
  }

  [[nodiscard]] const char* sqlstate() const noexcept { return sqlstate_; }
  [[nodiscard]] const char* message() const noexcept { return message_.c_str(); }
  [[nodiscard]] const char* detail_text() const noexcept { return detail_.c_str(); }
  [[nodiscard]] const char* hint_text() const noexcept { return hint_.c_str(); }
  [[nodiscard]] const char* what() const noexcept override { return message(); }

 private:
  char sqlstate_[6];
  FixedText<512> message_;
  FixedText<1024> detail_;
  FixedText<512> hint_;
};

static_assert(std::is_nothrow_copy_constructible_v<Failure>,
              "a thrown failure must survive being copied without memory");

}  // namespace dw::core
