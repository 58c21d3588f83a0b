// ExactSum: a sum of doubles (and of squares of doubles) without rounding, so that the result does not
// depend on the order in which the terms came.
//
// The state is one two's complement integer, 4352 bits wide, in units of 2^-2148 (the square of the
// smallest double). It cannot overflow before 2^63 terms of the largest square. Equal sets of terms give equal bytes.
// Threads: a plain value.
#pragma once

#include <array>
#include <cstdint>

#include "messages/bytes.hpp"

namespace drover::storage {

class ExactSum {
 public:
  static constexpr size_t limb_count = 68;
  static constexpr size_t stored_bytes = limb_count * sizeof(uint64_t);

  // `value` must be finite.
  void add(double value) noexcept;
  void add_square(double value) noexcept;
  void add(const ExactSum& other) noexcept;

  // The sum rounded to the nearest double (ties to even); infinite when it is beyond the range of doubles.
  double value() const noexcept;
  // The part that value() leaves out, rounded: value() + rest() has at least 106 correct bits.
  double rest() const noexcept;

  // Little endian limbs, stored_bytes long.
  ByteView bytes() const noexcept { return std::as_bytes(std::span(limbs_)); }
  // False when `stored` has another size.
  bool assign(ByteView stored) noexcept;

  bool operator==(const ExactSum&) const = default;

 private:
  void add_shifted(unsigned __int128 magnitude, unsigned bit, bool negative) noexcept;
  std::array<uint64_t, limb_count> limbs_{};
};

// Mean and population standard deviation from exact sums; zeros for no terms.
struct Moments {
  double mean = 0;
  double std = 0;
};
Moments moments(const ExactSum& sum, const ExactSum& squares, uint64_t count) noexcept;

}  // namespace drover::storage
