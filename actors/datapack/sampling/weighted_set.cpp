#include "actors/datapack/sampling/weighted_set.hpp"

#include <algorithm>

#include "messages/check.hpp"

namespace drover::sampling {
namespace {

constexpr size_t fan_out_bits = 4;
constexpr size_t fan_out = size_t{1} << fan_out_bits;
constexpr size_t bucket_items_max = 16;  // on average
constexpr uint32_t grow_bits = 2;

bool before(const WeightedSet::Item& item, const PackKey& key) {
  return item.key < key;
}

}  // namespace

WeightedSet::WeightedSet() : buckets_(1) {
  sum_up();
}

void WeightedSet::put(const Item& item) {
  auto& bucket = buckets_[bucket_of(item.key)];
  const auto at = std::lower_bound(bucket.begin(), bucket.end(), item.key, before);
  uint32_t old = 0;
  if (at != bucket.end() && at->key == item.key) {
    old = at->weight;
    *at = item;
  } else {
    bucket.insert(at, item);
    ++size_;
  }
  change_sum(bucket_of(item.key), uint64_t{item.weight} - old);
  if (size_ > bucket_items_max * buckets_.size()) grow();
}

bool WeightedSet::erase(const PackKey& key) {
  auto& bucket = buckets_[bucket_of(key)];
  const auto at = std::lower_bound(bucket.begin(), bucket.end(), key, before);
  if (at == bucket.end() || at->key != key) return false;
  change_sum(bucket_of(key), uint64_t{0} - at->weight);
  bucket.erase(at);
  --size_;
  return true;
}

uint32_t WeightedSet::set_weight(const PackKey& key, uint32_t weight) {
  auto& bucket = buckets_[bucket_of(key)];
  const auto at = std::lower_bound(bucket.begin(), bucket.end(), key, before);
  DROVER_CHECK(at != bucket.end() && at->key == key, "only the weight of an item that is there can change");
  const uint32_t old = at->weight;
  at->weight = weight;
  change_sum(bucket_of(key), uint64_t{weight} - old);
  return old;
}

const WeightedSet::Item& WeightedSet::at(uint64_t point) const {
  DROVER_CHECK(point < total_, "a point lies below the total");
  size_t node = 0;
  for (size_t level = levels_.size(); level-- > 0;) {
    const std::vector<uint64_t>& sums = levels_[level];
    while (point >= sums[node]) point -= sums[node++];
    if (level > 0) node <<= fan_out_bits;
  }
  const auto& bucket = buckets_[node];
  size_t i = 0;
  while (point >= bucket[i].weight) point -= bucket[i++].weight;
  return bucket[i];
}

// Differences wrap: adding one is exact in either direction.
void WeightedSet::change_sum(size_t bucket, uint64_t delta) noexcept {
  total_ += delta;
  for (std::vector<uint64_t>& level : levels_) {
    level[bucket] += delta;
    bucket >>= fan_out_bits;
  }
}

void WeightedSet::grow() {
  std::vector<std::vector<Item>> old = std::move(buckets_);
  bits_ += grow_bits;
  buckets_ = std::vector<std::vector<Item>>(size_t{1} << bits_);
  for (auto& bucket : old) {  // in order: each new bucket fills in order
    for (const Item& item : bucket) buckets_[bucket_of(item.key)].push_back(item);
    bucket = {};
  }
  sum_up();
}

void WeightedSet::sum_up() {
  std::vector<uint64_t> sums(buckets_.size());
  for (size_t i = 0; i < sums.size(); ++i)
    for (const Item& item : buckets_[i]) sums[i] += item.weight;
  levels_.clear();
  for (;;) {
    const size_t above = (sums.size() + fan_out - 1) >> fan_out_bits;
    std::vector<uint64_t> next(above);
    for (size_t i = 0; i < sums.size(); ++i) next[i >> fan_out_bits] += sums[i];
    const bool top = sums.size() <= fan_out;
    levels_.push_back(std::move(sums));
    if (top) break;
    sums = std::move(next);
  }
}

uint64_t WeightedSet::memory_bytes() const noexcept {
  uint64_t out = buckets_.capacity() * sizeof(buckets_[0]);
  for (const auto& bucket : buckets_) out += bucket.capacity() * sizeof(Item) + (bucket.capacity() > 0 ? 16 : 0);
  for (const auto& level : levels_) out += level.capacity() * sizeof(uint64_t);
  return out;
}

}  // namespace drover::sampling
