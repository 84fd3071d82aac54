/*
 * A set of jobs, by queue and id: bitmaps of 4,096 ids. Dense ranges, which is what a queue
 * produces, cost an eighth of a byte a job.
 */
#pragma once

#include "core/types.hpp"

#include <array>
#include <unordered_map>

namespace dw::core {

class IdSet {
 public:
  void clear() {
    pages_.clear();
    last_key_ = kNoPage;
    last_page_ = nullptr;
  }
  /* False: it was in already. */
  bool add(QueueId queue, JobId id) {
    const Key key{queue, id >> kPageBits};
    Page* page = find(key);
    if (page == nullptr) {
      page = &pages_.try_emplace(key).first->second;
      last_page_ = page;
    }
    std::uint64_t& word = (*page)[word_of(id)];
    const bool is_new = (word & bit_of(id)) == 0;
    word |= bit_of(id);
    return is_new;
  }
  /* False: it was not in. */
  bool remove(QueueId queue, JobId id) {
    Page* const page = find({queue, id >> kPageBits});
    if (page == nullptr) return false;
    std::uint64_t& word = (*page)[word_of(id)];
    const bool was_in = (word & bit_of(id)) != 0;
    word &= ~bit_of(id);
    return was_in;
  }
  [[nodiscard]] bool has(QueueId queue, JobId id) {
    const Page* const page = find({queue, id >> kPageBits});
    return page != nullptr && ((*page)[word_of(id)] & bit_of(id)) != 0;
  }

 private:
  static constexpr int kPageBits = 12;
  using Page = std::array<std::uint64_t, (1U << kPageBits) / 64>;
  struct Key {
    QueueId queue;
    std::int64_t page;
    bool operator==(const Key&) const = default;
  };
  struct Hash {
    std::size_t operator()(const Key& key) const {
      std::uint64_t x = static_cast<std::uint64_t>(key.page) * 0x9E3779B97F4A7C15ULL;
      x ^= (x >> 32) ^ (static_cast<std::uint64_t>(static_cast<std::uint32_t>(key.queue)) *
                        0xC2B2AE3D27D4EB4FULL);
      return x;
    }
  };
  static constexpr Key kNoPage{0, -1};

  static std::uint64_t bit_of(JobId id) {
    return std::uint64_t{1} << (static_cast<std::uint64_t>(id) & 63U);
  }
  static std::size_t word_of(JobId id) { return (static_cast<std::uint64_t>(id) >> 6) & 63U; }

  /* Neighbours are asked for one after the other. Pages stay where they are when others come. */
  Page* find(const Key& key) {
    if (key == last_key_) return last_page_;
    const auto found = pages_.find(key);
    last_key_ = key;
    last_page_ = found == pages_.end() ? nullptr : &found->second;
    return last_page_;
  }

  std::unordered_map<Key, Page, Hash> pages_;
  Key last_key_ = kNoPage;
  Page* last_page_ = nullptr;
};

}  // namespace dw::core
