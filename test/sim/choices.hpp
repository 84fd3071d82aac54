/*
 * What a history draws: numbers of a generator that follow from its seed. A fuzzer gives the first
 * ones itself, two bytes each, so that it learns which choices lead where.
 */
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <span>

namespace dw::test {

class Choices {
 public:
  explicit Choices(std::uint64_t seed, std::span<const std::uint8_t> given = {})
      : engine_(seed), given_(given) {}

  std::uint64_t operator()() {
    if (given_.size() < 2) return engine_();
    const std::uint64_t choice = given_[0] | std::uint64_t{given_[1]} << 8;
    given_ = given_.subspan(2);
    return choice;
  }

 private:
  std::mt19937_64 engine_;
  std::span<const std::uint8_t> given_;
};

}  // namespace dw::test
