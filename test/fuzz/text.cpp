/* libFuzzer: what the core makes of text: messages cut at whole characters, hashes, names of
 * versions. */
#include "core/failure.hpp"
#include "core/hash.hpp"
#include "core/owner_ring.hpp"
#include "core/versions.hpp"

#include <cstdlib>
#include <string_view>

namespace {

using namespace dw::core;

bool continues(char byte) { return (static_cast<unsigned char>(byte) & 0xC0U) == 0x80U; }

/* What is cut off begins with a character, if the text was made of characters. */
void cut(std::string_view text) {
  FixedText<24> out;
  out.format("{}", text);
  const std::string_view kept = out.view();
  if (kept.size() > 23) std::abort();
  const std::string_view whole = text.substr(0, text.find('\0'));
  if (kept != whole.substr(0, kept.size())) std::abort();
  if (kept.size() < whole.size() && text.size() <= 23) std::abort();
  if (kept.size() + 4 <= 23 && whole.size() > 23 && !continues(whole[kept.size()])) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::string_view half = text.substr(0, size / 2);
  cut(half);
  if (fnv1a32_more(fnv1a32(half), text.substr(size / 2)) != fnv1a32(text)) std::abort();
  if (key_check(text) == 0) std::abort();
  const VersionFit fit = judge_version(text);
  const VersionFit other = judge_version(half, text, {});
  if (text == half && fit == VersionFit::fits && other == VersionFit::sql_is_newer) std::abort();
  return 0;
}
