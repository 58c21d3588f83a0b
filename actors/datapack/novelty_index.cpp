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

constexpr size_t cell_full = 64;
constexpr size_t dense_count = 4;     // as many near ones make a dense place
constexpr size_t cell_settled = 8;    // members from which a cell knows how wide it is
constexpr double stray_factor = 1.8;  // so much farther than its mean member: a cell of its own
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

// The square of the least distance that a member of the cell can have, a little less for rounding.
double NoveltyIndex::least_distance2(size_t cell, uint32_t pivot2) const {
  const Bounds& bounds = bounds_[cell];
  const double pivot = std::sqrt(static_cast<double>(pivot2));
  const double least = std::max({0.0, pivot - bounds.radius_max - 1e-6, bounds.radius_min - pivot - 1e-6});
  return least * least;
}

std::vector<Neighbour> NoveltyIndex::nearest(const Probe& probe, const RowId& before, uint32_t k) const {
  Best best(k);
  if (cells_.empty()) return {};
  std::vector<uint32_t> distances;
  const auto look_into = [&](size_t index) {
    const Cell& cell = cells_[index];
    cell.vectors.distances(probe.query, distances);
    examined_ += distances.size();
    for (size_t i = 0; i < distances.size(); ++i) {
      if (distances[i] > best.worst()) continue;
      const Member& member = members_[cell.slots[i]];
      if (member.id < before) best.offer({distances[i], member.id, member.delta_j});
    }
  };
  const auto first =
      static_cast<size_t>(std::min_element(probe.pivots.begin(), probe.pivots.end()) - probe.pivots.begin());
  look_into(first);                                // after it most cells are out of the question
  std::vector<std::pair<double, uint32_t>> order;  // least squared distance, cell
  for (size_t i = 0; i < cells_.size(); ++i) {
    const double least2 = least_distance2(i, probe.pivots[i]);
    if (i != first && least2 <= static_cast<double>(best.worst())) order.emplace_back(least2, static_cast<uint32_t>(i));
  }
  std::sort(order.begin(), order.end());
  for (const auto& [least2, index] : order) {
    if (least2 > static_cast<double>(best.worst())) break;
    look_into(index);
  }
  return best.take();
}

std::vector<NoveltyIndex::Later> NoveltyIndex::later(const Probe& probe, const RowId& after) {
  std::vector<Later> found;
  if (!(after < newest_)) return found;
  std::vector<uint32_t> distances;
  for (size_t c = 0; c < cells_.size(); ++c) {
    Bounds& bounds = bounds_[c];
    if (least_distance2(c, probe.pivots[c]) > static_cast<double>(bounds.reach2_max)) continue;
    const Cell& cell = cells_[c];
    cell.vectors.distances(probe.query, distances);
    examined_ += distances.size();
    bounds.reach2_max = 0;
    for (size_t i = 0; i < distances.size(); ++i) {
      const Member& member = members_[cell.slots[i]];
      bounds.reach2_max = std::max(bounds.reach2_max, member.reach2);
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

void NoveltyIndex::new_cell(std::span<const int8_t> pivot) {
  pivots_.push(pivot);
  cells_.emplace_back(dim_).full_at = cell_full;
  bounds_.emplace_back();
}

void NoveltyIndex::insert(size_t index, std::span<const int8_t> vector, uint32_t slot, uint32_t pivot2) {
  Cell& cell = cells_[index];
  Bounds& bounds = bounds_[index];
  const double radius = std::sqrt(static_cast<double>(pivot2));
  bounds.radius_min = cell.slots.empty() ? radius : std::min(bounds.radius_min, radius);
  bounds.radius_max = std::max(bounds.radius_max, radius);
  bounds.reach2_max = std::max(bounds.reach2_max, members_[slot].reach2);
  cell.radius_sum += radius;
  cell.vectors.push(vector);
  cell.slots.push_back(slot);
}

void NoveltyIndex::add(const Probe& probe, std::span<const int8_t> vector, const Member& member) {
  DROVER_CHECK(probe.pivots.size() == cells_.size(), "a probe from before another add");
  DROVER_CHECK(members_.size() < UINT32_MAX, "too many vectors");
  const auto slot = static_cast<uint32_t>(members_.size());
  members_.push_back(member);
  newest_ = std::max(newest_, member.id);
  const auto nearest = std::min_element(probe.pivots.begin(), probe.pivots.end());
  const auto index = static_cast<size_t>(nearest - probe.pivots.begin());
  bool stray = cells_.empty();
  if (!stray) {
    const Cell& cell = cells_[index];
    const double mean = cell.radius_sum / static_cast<double>(cell.slots.size());
    stray = cell.slots.size() >= cell_settled && std::sqrt(static_cast<double>(*nearest)) > stray_factor * mean &&
            *nearest > 0;
  }
  if (stray) {
    new_cell(vector);
    insert(cells_.size() - 1, vector, slot, 0);
    return;
  }
  insert(index, vector, slot, *nearest);
  if (cells_[index].slots.size() >= cells_[index].full_at) split(index);
}

// The member in the densest place of a cell: whose dense_count-th nearest is nearest.
NoveltyIndex::Dense NoveltyIndex::densest(const Cell& cell) {
  Dense best;
  std::vector<uint32_t> distances, sorted;
  for (size_t i = 0; i < std::min(cell.slots.size(), cell_full); ++i) {
    cell.vectors.distances(ByteVectors::Query(cell.vectors.get(i)), distances);
    sorted = distances;
    std::nth_element(sorted.begin(), sorted.begin() + dense_count, sorted.end());
    if (sorted[dense_count] < best.reach2) best = {i, sorted[dense_count], distances};
  }
  return best;
}

// A full cell that holds something dense gives it a cell of its own: there the next ones like it will go. Else it is
// parted between two members that are far apart.
void NoveltyIndex::split(size_t index) {
  const Cell& full = cells_[index];
  const double mean = full.radius_sum / static_cast<double>(full.slots.size());
  const Dense dense = densest(full);
  const double within = 2 * std::sqrt(static_cast<double>(dense.reach2));
  if (within < mean) {
    std::vector<bool> leaves;
    for (const uint32_t d : dense.distances) leaves.push_back(std::sqrt(static_cast<double>(d)) <= within);
    return part(index, leaves, dense.member, std::nullopt);
  }
  std::vector<uint32_t> to_first, to_second;
  const auto farthest_from = [&](size_t member, std::vector<uint32_t>& distances) {
    full.vectors.distances(ByteVectors::Query(full.vectors.get(member)), distances);
    return static_cast<size_t>(std::max_element(distances.begin(), distances.end()) - distances.begin());
  };
  const size_t first = farthest_from(0, to_first);
  const size_t second = farthest_from(first, to_first);
  if (to_first[second] == 0) {  // all members are equal: nothing to part
    cells_[index].full_at *= 2;
    return;
  }
  (void)farthest_from(second, to_second);
  std::vector<bool> leaves;
  for (size_t i = 0; i < to_first.size(); ++i) leaves.push_back(to_second[i] < to_first[i]);
  part(index, leaves, second, first);
}

// Those that leave get a cell around member `pivot`; `stays`, if any, becomes the pivot of those that do not.
void NoveltyIndex::part(size_t index, const std::vector<bool>& leaves, size_t pivot, std::optional<size_t> stays) {
  const Cell old = std::exchange(cells_[index], Cell(dim_));
  cells_[index].full_at = cell_full;
  bounds_[index] = {};
  if (stays) pivots_.set(index, old.vectors.get(*stays));
  const std::vector<int8_t> kept = pivots_.get(index);
  const std::vector<int8_t> fresh = old.vectors.get(pivot);
  new_cell(fresh);
  std::vector<uint32_t> to_kept, to_fresh;
  old.vectors.distances(ByteVectors::Query(kept), to_kept);
  old.vectors.distances(ByteVectors::Query(fresh), to_fresh);
  for (size_t i = 0; i < old.slots.size(); ++i)
    insert(leaves[i] ? cells_.size() - 1 : index, old.vectors.get(i), old.slots[i],
           leaves[i] ? to_fresh[i] : to_kept[i]);
  for (const size_t cell : {index, cells_.size() - 1})
    cells_[cell].full_at = std::max(cell_full, cells_[cell].slots.size() + 1);
}

size_t NoveltyIndex::memory_bytes() const noexcept {
  size_t bytes = pivots_.memory_bytes() + members_.capacity() * sizeof(Member) + cells_.capacity() * sizeof(Cell) +
                 bounds_.capacity() * sizeof(Bounds);
  for (const Cell& cell : cells_) bytes += cell.vectors.memory_bytes() + cell.slots.capacity() * sizeof(uint32_t);
  return bytes;
}

}  // namespace drover::datapack
