#include "actors/runtime/rng.hpp"

#include <bit>

#include "messages/hash.hpp"

namespace drover::runtime {

Rng::Rng(uint64_t seed) {
  for (auto& word : state_) {  // SplitMix64
    seed += 0x9e3779b97f4a7c15u;
    uint64_t z = seed;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    word = z ^ (z >> 31);
  }
}

Rng Rng::stream(uint64_t root_seed, std::string_view name) {
  return Rng(checksum64(as_bytes(name), root_seed));
}

uint64_t Rng::next() {
  const uint64_t result = std::rotl(state_[0] + state_[3], 23) + state_[0];
  const uint64_t t = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= t;
  state_[3] = std::rotl(state_[3], 45);
  return result;
}

uint64_t Rng::below(uint64_t bound) {
  if (bound < 2) return 0;
  const uint64_t biased = (0 - bound) % bound;  // 2^64 mod bound: that many low values are drawn again
  uint64_t value = next();
  while (value < biased) value = next();
  return value % bound;
}

int64_t Rng::between(int64_t low, int64_t high) {
  const uint64_t span = static_cast<uint64_t>(high) - static_cast<uint64_t>(low) + 1;
  const uint64_t offset = span == 0 ? next() : below(span);
  return static_cast<int64_t>(static_cast<uint64_t>(low) + offset);
}

double Rng::uniform() {
  return static_cast<double>(next() >> 11) * 0x1.0p-53;
}

}  // namespace drover::runtime
