// WeightedSet: datapacks with integer weights, drawn in O(log n). Pure value; not thread safe.
//
// Invariants
// - Items lie in the order of their keys, whatever order they were put in: `at(point)` is a function of the content.
// - Weights are integers, so every sum is exact: no order of changes leaves a trace.
// Items lie in buckets by the leading bits of their key (which is a hash: buckets are even), and above the buckets a
// tree of sums with a fan-out of 16. About 30 bytes an item.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace drover::sampling {

// Which datapack: a hash of its pack_id, then its start. Content, never arrival.
struct PackKey {
  uint64_t hash = 0;
  int64_t start_unix_ns = 0;
  auto operator<=>(const PackKey&) const = default;
};

class WeightedSet {
 public:
  struct Item {
    PackKey key;
    uint32_t weight = 0;
    uint32_t row = 0;  // the owner's business
  };

  WeightedSet();
  // Inserts or replaces. Weight 0 stays in the set and is never found.
  void put(const Item& item);
  // False: it was not there.
  bool erase(const PackKey& key);
  // Contract: it is there. Returns the weight before.
  uint32_t set_weight(const PackKey& key, uint32_t weight);

  uint64_t total() const noexcept { return total_; }
  size_t size() const noexcept { return size_; }
  // The item whose weight covers `point`, counted in the order of keys. Contract: point < total().
  const Item& at(uint64_t point) const;
  uint64_t memory_bytes() const noexcept;

 private:
  size_t bucket_of(const PackKey& key) const noexcept { return bits_ == 0 ? 0 : key.hash >> (64 - bits_); }
  void change_sum(size_t bucket, uint64_t delta) noexcept;
  void grow();
  void sum_up();

  std::vector<std::vector<Item>> buckets_;     // each sorted by key
  std::vector<std::vector<uint64_t>> levels_;  // [0]: sum of each bucket; [k + 1]: sums of 16 of level k
  uint32_t bits_ = 0;
  size_t size_ = 0;
  uint64_t total_ = 0;
};

}  // namespace drover::sampling
