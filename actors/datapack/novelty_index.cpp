#include "actors/datapack/novelty_index.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <utility>

#include "messages/check.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace drover::datapack {
namespace {

using storage::Neighbour;
using storage::RowId;

constexpr size_t cell_full = 512;
constexpr size_t lanes = ByteVectors::lanes;

// Dot products of the 16 vectors of a block (bytes + 128) with a query. All three give the same whole numbers.
using DotFunction = void (*)(const uint8_t* block, const ByteVectors::Query& query, size_t groups, int32_t* out);

void dots_portable(const uint8_t* block, const ByteVectors::Query& query, size_t groups, int32_t* out) {
  std::fill(out, out + lanes, 0);
  for (size_t g = 0; g < groups; ++g)
    for (size_t lane = 0; lane < lanes; ++lane)
      for (size_t i = 0; i < 4; ++i) out[lane] += int32_t{block[(g * lanes + lane) * 4 + i]} * query.wide[g * 4 + i];
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) void dots_avx2(const uint8_t* block, const ByteVectors::Query& query, size_t groups,
                                               int32_t* out) {
  __m256i sums[4] = {_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256()};
  for (size_t g = 0; g < groups; ++g) {
    long long four = 0;
    std::memcpy(&four, query.wide.data() + g * 4, sizeof four);
    const __m256i q = _mm256_set1_epi64x(four);
    for (size_t part = 0; part < 4; ++part) {
      __m128i bytes;
      std::memcpy(&bytes, block + g * 64 + part * 16, sizeof bytes);
      sums[part] = _mm256_add_epi32(sums[part], _mm256_madd_epi16(_mm256_cvtepu8_epi16(bytes), q));
    }
  }
  int32_t pairs[8];
  for (size_t part = 0; part < 4; ++part) {
    std::memcpy(pairs, &sums[part], sizeof pairs);
    for (size_t lane = 0; lane < 4; ++lane) out[part * 4 + lane] = pairs[2 * lane] + pairs[2 * lane + 1];
  }
}

__attribute__((target("avx512f,avx512vnni"))) void dots_vnni(const uint8_t* block, const ByteVectors::Query& query,
                                                             size_t groups, int32_t* out) {
  __m512i sums = _mm512_setzero_si512();
  for (size_t g = 0; g < groups; ++g) {
    int four = 0;
    std::memcpy(&four, query.values.data() + g * 4, sizeof four);
    sums = _mm512_dpbusd_epi32(sums, _mm512_loadu_si512(block + g * 64), _mm512_set1_epi32(four));
  }
  _mm512_storeu_si512(out, sums);
}
#endif

DotFunction choose_dots() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vnni")) return dots_vnni;
  if (__builtin_cpu_supports("avx2")) return dots_avx2;
#endif
  return dots_portable;
}
const DotFunction dots = choose_dots();

uint32_t norm_of(std::span<const int8_t> vector) {
  uint32_t norm = 0;
  for (const int8_t v : vector) norm += static_cast<uint32_t>(int32_t{v} * v);
  return norm;
}

// The k nearest so far, by distance, then id.
class Best {
 public:
  explicit Best(uint32_t k) : k_(k) { kept_.reserve(k + 1); }
  uint32_t worst() const { return kept_.size() < k_ ? UINT32_MAX : kept_.back().distance2; }
  void offer(const Neighbour& n) {
    const auto ahead = [](const Neighbour& a, const Neighbour& b) {
      return std::pair(a.distance2, a.id) < std::pair(b.distance2, b.id);
    };
    if (kept_.size() == k_ && !ahead(n, kept_.back())) return;
    kept_.insert(std::upper_bound(kept_.begin(), kept_.end(), n, ahead), n);
    if (kept_.size() > k_) kept_.pop_back();
  }
  std::vector<Neighbour> take() { return std::move(kept_); }

 private:
  uint32_t k_;
  std::vector<Neighbour> kept_;
};

double square(double value) {
  return value * value;
}

}  // namespace

ByteVectors::Query::Query(std::span<const int8_t> vector)
    : values(vector.begin(), vector.end()), norm(norm_of(vector)) {
  values.resize((vector.size() + 3) / 4 * 4);
  wide.assign(values.begin(), values.end());
  for (const int8_t v : values) sum += v;
}

void ByteVectors::push(std::span<const int8_t> vector) {
  if (norms_.size() % lanes == 0) blocks_.resize(blocks_.size() + groups_ * lanes * 4, 128);
  norms_.push_back(0);
  set(norms_.size() - 1, vector);
}

void ByteVectors::set(size_t index, std::span<const int8_t> vector) {
  DROVER_CHECK(vector.size() == dim_ && index < norms_.size(), "a vector of another size");
  uint8_t* block = blocks_.data() + index / lanes * groups_ * lanes * 4;
  for (size_t d = 0; d < dim_; ++d)
    block[(d / 4 * lanes + index % lanes) * 4 + d % 4] = static_cast<uint8_t>(int{vector[d]} + 128);
  norms_[index] = norm_of(vector);
}

std::vector<int8_t> ByteVectors::get(size_t index) const {
  const uint8_t* block = blocks_.data() + index / lanes * groups_ * lanes * 4;
  std::vector<int8_t> out(dim_);
  for (size_t d = 0; d < dim_; ++d)
    out[d] = static_cast<int8_t>(int{block[(d / 4 * lanes + index % lanes) * 4 + d % 4]} - 128);
  return out;
}

void ByteVectors::distances(const Query& query, std::vector<uint32_t>& out) const {
  out.resize(norms_.size());
  std::array<int32_t, lanes> products{};
  for (size_t start = 0; start < norms_.size(); start += lanes) {
    dots(blocks_.data() + start * groups_ * 4, query, groups_, products.data());
    const size_t count = std::min(lanes, norms_.size() - start);
    for (size_t i = 0; i < count; ++i) {
      const int32_t dot = products[i] - 128 * query.sum;
      out[start + i] = static_cast<uint32_t>(static_cast<int64_t>(norms_[start + i]) + query.norm - 2 * int64_t{dot});
    }
  }
}

NoveltyIndex::NoveltyIndex(size_t dim) : dim_(dim), pivots_(dim) {}

NoveltyIndex::Probe NoveltyIndex::probe(std::span<const int8_t> vector) const {
  DROVER_CHECK(vector.size() == dim_, "a vector of another space");
  Probe probe(vector);
  pivots_.distances(probe.query, probe.pivots);
  return probe;
}

// The least distance that a member of the cell can have, a little less for rounding.
double NoveltyIndex::least_distance(const Cell& cell, uint32_t pivot2) const {
  const double pivot = std::sqrt(static_cast<double>(pivot2));
  return std::max({0.0, pivot - cell.radius_max - 1e-6, cell.radius_min - pivot - 1e-6});
}

std::vector<Neighbour> NoveltyIndex::nearest(const Probe& probe, const RowId& before, uint32_t k) const {
  Best best(k);
  std::vector<std::pair<double, uint32_t>> order;  // least squared distance, cell
  order.reserve(cells_.size());
  for (uint32_t i = 0; i < cells_.size(); ++i)
    order.emplace_back(square(least_distance(cells_[i], probe.pivots[i])), i);
  const auto later = [](const auto& a, const auto& b) { return b < a; };
  std::make_heap(order.begin(), order.end(), later);
  std::vector<uint32_t> distances;
  while (!order.empty()) {
    std::pop_heap(order.begin(), order.end(), later);
    const auto [least2, index] = order.back();
    order.pop_back();
    if (least2 > static_cast<double>(best.worst())) break;
    const Cell& cell = cells_[index];
    cell.vectors.distances(probe.query, distances);
    examined_ += distances.size();
    for (size_t i = 0; i < distances.size(); ++i) {
      if (distances[i] > best.worst()) continue;
      const Member& member = members_[cell.slots[i]];
      if (member.id < before) best.offer({distances[i], member.id, member.delta_j});
    }
  }
  return best.take();
}

std::vector<NoveltyIndex::Later> NoveltyIndex::later(const Probe& probe, const RowId& after) {
  std::vector<Later> found;
  if (!(after < newest_)) return found;
  std::vector<uint32_t> distances;
  for (size_t c = 0; c < cells_.size(); ++c) {
    Cell& cell = cells_[c];
    if (square(least_distance(cell, probe.pivots[c])) > static_cast<double>(cell.reach2_max)) continue;
    cell.vectors.distances(probe.query, distances);
    examined_ += distances.size();
    cell.reach2_max = 0;
    for (size_t i = 0; i < distances.size(); ++i) {
      const Member& member = members_[cell.slots[i]];
      cell.reach2_max = std::max(cell.reach2_max, member.reach2);
      if (after < member.id && distances[i] <= member.reach2) found.push_back({cell.slots[i], distances[i]});
    }
  }
  return found;
}

void NoveltyIndex::set_reach(uint32_t slot, uint32_t reach2) {
  Member& member = members_.at(slot);
  DROVER_CHECK(reach2 <= member.reach2, "a reach grew");  // so that what cells know stays an upper bound
  member.reach2 = reach2;
}

void NoveltyIndex::insert(Cell& cell, std::span<const int8_t> vector, uint32_t slot, uint32_t pivot2) {
  const double radius = std::sqrt(static_cast<double>(pivot2));
  cell.radius_min = cell.slots.empty() ? radius : std::min(cell.radius_min, radius);
  cell.radius_max = std::max(cell.radius_max, radius);
  cell.reach2_max = std::max(cell.reach2_max, members_[slot].reach2);
  cell.vectors.push(vector);
  cell.slots.push_back(slot);
}

void NoveltyIndex::add(const Probe& probe, std::span<const int8_t> vector, const Member& member) {
  DROVER_CHECK(probe.pivots.size() == cells_.size(), "a probe from before another add");
  DROVER_CHECK(members_.size() < UINT32_MAX, "too many vectors");
  const auto slot = static_cast<uint32_t>(members_.size());
  members_.push_back(member);
  newest_ = std::max(newest_, member.id);
  if (cells_.empty()) {
    pivots_.push(vector);
    cells_.emplace_back(dim_).full_at = cell_full;
    insert(cells_.front(), vector, slot, 0);
    return;
  }
  const auto nearest = std::min_element(probe.pivots.begin(), probe.pivots.end());
  const auto index = static_cast<size_t>(nearest - probe.pivots.begin());
  insert(cells_[index], vector, slot, *nearest);
  if (cells_[index].slots.size() >= cells_[index].full_at) split(index);
}

// Two members that are far apart become pivots; each other member goes to the nearer.
void NoveltyIndex::split(size_t index) {
  const Cell old = std::move(cells_[index]);
  std::vector<uint32_t> to_first, to_second;
  const auto farthest_from = [&](size_t member, std::vector<uint32_t>& distances) {
    old.vectors.distances(ByteVectors::Query(old.vectors.get(member)), distances);
    return static_cast<size_t>(std::max_element(distances.begin(), distances.end()) - distances.begin());
  };
  const size_t first = farthest_from(0, to_first);
  const size_t second = farthest_from(first, to_first);
  if (to_first[second] == 0) {  // all members are equal: nothing to part
    cells_[index] = old;
    cells_[index].full_at *= 2;
    return;
  }
  (void)farthest_from(second, to_second);
  pivots_.set(index, old.vectors.get(first));
  pivots_.push(old.vectors.get(second));
  Cell near_first(dim_), near_second(dim_);
  near_first.full_at = near_second.full_at = cell_full;
  for (size_t i = 0; i < old.slots.size(); ++i) {
    const bool first_nearer = to_first[i] <= to_second[i];
    insert(first_nearer ? near_first : near_second, old.vectors.get(i), old.slots[i],
           first_nearer ? to_first[i] : to_second[i]);
  }
  cells_[index] = std::move(near_first);
  cells_.push_back(std::move(near_second));
}

size_t NoveltyIndex::memory_bytes() const noexcept {
  size_t bytes = pivots_.memory_bytes() + members_.capacity() * sizeof(Member) + cells_.capacity() * sizeof(Cell);
  for (const Cell& cell : cells_) bytes += cell.vectors.memory_bytes() + cell.slots.capacity() * sizeof(uint32_t);
  return bytes;
}

}  // namespace drover::datapack
