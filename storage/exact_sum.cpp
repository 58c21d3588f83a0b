// Exact, order-independent summation (see exact_sum.hpp).
#include "storage/exact_sum.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "messages/check.hpp"

namespace drover::storage {
namespace {

constexpr int unit_exponent = -2148;  // the lowest bit is worth 2^unit_exponent

// |value| = mantissa * 2^exponent, exactly.
struct Parts {
  uint64_t mantissa;
  int exponent;
};
Parts parts_of(double value) noexcept {
  const auto bits = std::bit_cast<uint64_t>(value);
  const auto biased = static_cast<int>((bits >> 52) & 0x7ff);
  const uint64_t fraction = bits & ((uint64_t{1} << 52) - 1);
  return biased == 0 ? Parts{fraction, -1074} : Parts{fraction | uint64_t{1} << 52, biased - 1075};
}

}  // namespace

void ExactSum::add_shifted(unsigned __int128 magnitude, unsigned bit, bool negative) noexcept {
  const unsigned shift = bit % 64;
  const auto low = static_cast<uint64_t>(magnitude);
  const auto high = static_cast<uint64_t>(magnitude >> 64);
  const uint64_t spread[3] = {low << shift, shift == 0 ? high : (high << shift) | (low >> (64 - shift)),
                              shift == 0 ? 0 : high >> (64 - shift)};
  uint64_t carry = 0;
  for (size_t i = 0, limb = bit / 64; limb < limb_count && (i < 3 || carry != 0); ++i, ++limb) {
    const uint64_t term = i < 3 ? spread[i] : 0;
    const unsigned __int128 sum = negative ? static_cast<unsigned __int128>(limbs_[limb]) - term - carry
                                           : static_cast<unsigned __int128>(limbs_[limb]) + term + carry;
    limbs_[limb] = static_cast<uint64_t>(sum);
    carry = static_cast<uint64_t>(sum >> 64) != 0 ? 1 : 0;
  }
}

void ExactSum::add(double value) noexcept {
  DROVER_CHECK(std::isfinite(value), "only finite values can be summed exactly");
  const Parts p = parts_of(value);
  add_shifted(p.mantissa, static_cast<unsigned>(p.exponent - unit_exponent), std::signbit(value));
}

void ExactSum::add_square(double value) noexcept {
  DROVER_CHECK(std::isfinite(value), "only finite values can be summed exactly");
  const Parts p = parts_of(value);
  add_shifted(static_cast<unsigned __int128>(p.mantissa) * p.mantissa,
              static_cast<unsigned>(2 * p.exponent - unit_exponent), false);
}

void ExactSum::add(const ExactSum& other) noexcept {
  uint64_t carry = 0;
  for (size_t i = 0; i < limb_count; ++i) {
    const unsigned __int128 sum = static_cast<unsigned __int128>(limbs_[i]) + other.limbs_[i] + carry;
    limbs_[i] = static_cast<uint64_t>(sum);
    carry = static_cast<uint64_t>(sum >> 64);
  }
}

double ExactSum::value() const noexcept {
  auto magnitude = limbs_;
  const bool negative = (limbs_.back() >> 63) != 0;
  if (negative) {
    uint64_t carry = 1;
    for (uint64_t& limb : magnitude) {
      limb = ~limb + carry;
      carry = carry != 0 && limb == 0 ? 1 : 0;
    }
  }
  size_t top = limb_count;
  while (top > 0 && magnitude[top - 1] == 0) --top;
  if (top == 0) return 0;
  // The 64 leading bits; whatever lies below them only matters as "something": a sticky lowest bit.
  const auto zeros = static_cast<unsigned>(std::countl_zero(magnitude[top - 1]));
  const uint64_t below = top > 1 ? magnitude[top - 2] : 0;
  uint64_t leading = zeros == 0 ? magnitude[top - 1] : (magnitude[top - 1] << zeros) | (below >> (64 - zeros));
  bool sticky = top > 1 && (below << zeros) != 0;
  for (size_t i = 0; i + 2 < top && !sticky; ++i) sticky = magnitude[i] != 0;
  if (sticky) leading |= 1;
  const int exponent = static_cast<int>((top - 1) * 64) - static_cast<int>(zeros) + unit_exponent;
  const double rounded = std::ldexp(static_cast<double>(leading), exponent);
  return negative ? -rounded : rounded;
}

double ExactSum::rest() const noexcept {
  const double rounded = value();
  if (!std::isfinite(rounded)) return 0;
  ExactSum left = *this;
  left.add(-rounded);
  return left.value();
}

bool ExactSum::assign(ByteView stored) noexcept {
  if (stored.size() != stored_bytes) return false;
  std::memcpy(limbs_.data(), stored.data(), stored_bytes);
  return true;
}

Moments moments(const ExactSum& sum, const ExactSum& squares, uint64_t count) noexcept {
  if (count == 0) return {};
  using Wide = __float128;  // 113 bits: the difference of two close squares keeps its leading digits
  const Wide n = static_cast<Wide>(count);
  const Wide mean = (static_cast<Wide>(sum.value()) + static_cast<Wide>(sum.rest())) / n;
  const Wide square = (static_cast<Wide>(squares.value()) + static_cast<Wide>(squares.rest())) / n;
  const Wide variance = square - mean * mean;
  return {static_cast<double>(mean), std::sqrt(std::max(0.0, static_cast<double>(variance)))};
}

}  // namespace drover::storage
