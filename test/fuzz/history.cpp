/* libFuzzer: the bytes are the first choices of a history of the simulation (test/sim). */
#include "history.hpp"

#include <cstdio>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::uint64_t steps = size / 8 + 20;
  const dw::test::History history =
      dw::test::run_history(1, steps < 400 ? steps : 400, false, {data, size});
  if (history.broken.empty()) return 0;
  std::fprintf(stderr, "%s\n%s\n", history.broken.c_str(), history.settings.c_str());
  std::abort();
}
