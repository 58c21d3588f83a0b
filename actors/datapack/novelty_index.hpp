// NoveltyIndex: the nearest earlier vectors of one feature space, exactly, and the later ones that a newcomer is near
// to.
//
// Vectors lie in cells around pivots. A search visits cells in order of the least distance that the triangle inequality
// leaves them, and stops when no cell can hold anything nearer: the answer is that of a look at every vector, whatever
// order they came in. A full cell is split between two members that are far apart; a vector that is far from every
// pivot becomes one. Distances are squared and whole. Cost: data with structure (robots repeat themselves) needs a few
// cells; data without any needs a scan, which runs at the speed of memory. Memory: about dim + 80 bytes a vector.
// Threads: one at a time.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "storage/valuation_store.hpp"

namespace drover::datapack {

// Vectors of signed bytes in blocks of 16, laid out so that one instruction advances 16 distances.
class ByteVectors {
 public:
  explicit ByteVectors(size_t dim) : dim_(dim), groups_((dim + 3) / 4) {}
  static constexpr size_t lanes = 16;

  size_t size() const noexcept { return norms_.size(); }
  void push(std::span<const int8_t> vector);
  void set(size_t index, std::span<const int8_t> vector);
  std::vector<int8_t> get(size_t index) const;
  // out[i] = squared distance of vector i to the query; out is resized.
  struct Query;
  void distances(const Query& query, std::vector<uint32_t>& out) const;
  size_t memory_bytes() const noexcept { return blocks_.capacity() + norms_.capacity() * sizeof(uint32_t); }

  struct Query {
    explicit Query(std::span<const int8_t> vector);
    std::vector<int8_t> values;  // padded with zeros to a multiple of 4
    std::vector<int16_t> wide;   // the same
    int32_t sum = 0;
    uint32_t norm = 0;
  };

 private:
  size_t dim_;
  size_t groups_;  // of 4 numbers
  std::vector<uint8_t> blocks_;
  std::vector<uint32_t> norms_;
};

class NoveltyIndex {
 public:
  explicit NoveltyIndex(size_t dim);

  struct Member {
    storage::RowId id;
    double delta_j = 0;
    // Distance of its last neighbour when it has as many as are kept, else UINT32_MAX.
    uint32_t reach2 = UINT32_MAX;
  };

  // A newcomer's distances to all pivots; valid until the next add.
  class Probe {
   private:
    friend class NoveltyIndex;
    explicit Probe(std::span<const int8_t> vector) : query(vector) {}
    ByteVectors::Query query;
    std::vector<uint32_t> pivots;  // squared distances
  };
  // `vector` has `dim` numbers.
  Probe probe(std::span<const int8_t> vector) const;

  // The k nearest of those with id < before; equal distances by id.
  std::vector<storage::Neighbour> nearest(const Probe& probe, const storage::RowId& before, uint32_t k) const;
  // Slots of members with id > after that lie within their reach of the newcomer, with the distances.
  struct Later {
    uint32_t slot = 0;
    uint32_t distance2 = 0;
  };
  std::vector<Later> later(const Probe& probe, const storage::RowId& after);
  void add(const Probe& probe, std::span<const int8_t> vector, const Member& member);

  const Member& member(uint32_t slot) const { return members_.at(slot); }
  void set_reach(uint32_t slot, uint32_t reach2);
  size_t size() const noexcept { return members_.size(); }
  size_t cells() const noexcept { return cells_.size(); }
  size_t dim() const noexcept { return dim_; }
  size_t memory_bytes() const noexcept;
  // Vectors looked at by searches so far.
  uint64_t examined() const noexcept { return examined_; }

 private:
  struct Cell {
    explicit Cell(size_t dim) : vectors(dim) {}
    ByteVectors vectors;
    std::vector<uint32_t> slots;
    double radius_sum = 0;  // of its members' distances to the pivot
    size_t full_at = 0;
  };
  // What a search asks of every cell, apart so that it stays small.
  struct Bounds {
    double radius_min = 0;  // of its members' distances to the pivot
    double radius_max = 0;
    uint32_t reach2_max = 0;  // no member's reach is larger
  };
  double least_distance2(size_t cell, uint32_t pivot2) const;
  void new_cell(std::span<const int8_t> pivot);
  void insert(size_t cell, std::span<const int8_t> vector, uint32_t slot, uint32_t pivot2);
  struct Dense {
    size_t member = 0;
    uint32_t reach2 = UINT32_MAX;     // of its dense_count-th nearest
    std::vector<uint32_t> distances;  // of all members to it
  };
  static Dense densest(const Cell& cell);
  void split(size_t index);
  void part(size_t index, const std::vector<bool>& leaves, size_t pivot, std::optional<size_t> stays);

  size_t dim_;
  ByteVectors pivots_;
  std::vector<Cell> cells_;
  std::vector<Bounds> bounds_;  // of the cells
  std::vector<Member> members_;
  storage::RowId newest_;
  mutable uint64_t examined_ = 0;
};

}  // namespace drover::datapack
