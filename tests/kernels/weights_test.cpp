// Weight files: round trip, a golden header, and every way in which a file can lie.
#include "kernels/weights.hpp"

#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "kernels/mlp.hpp"
#include "messages/hash.hpp"
#include "tests/kernels/support.hpp"

using namespace drover;
using namespace drover::kernels;
using test::Random;

namespace {

Weights small() {
  Weights w;
  w.architecture = Architecture::mlp_policy;
  w.seed = 7;
  w.note = "untrained: by hand";
  w.params = {{"layers", 1}, {"width0", 3}};
  w.tensors = {{"layer0.weight", {2, 3}, {1, 2, 3, 4, 5, 6}}, {"layer0.bias", {2}, {0.5f, -0.5f}}};
  return w;
}

std::vector<std::byte> encoded(const Weights& w) {
  auto out = encode_weights(w);
  REQUIRE(out);
  return std::move(*out);
}

bool same(const Weights& a, const Weights& b) {
  if (a.architecture != b.architecture || a.trained != b.trained || a.seed != b.seed || a.note != b.note) return false;
  if (a.params.size() != b.params.size() || a.tensors.size() != b.tensors.size()) return false;
  for (size_t i = 0; i < a.params.size(); ++i) {
    if (a.params[i].name != b.params[i].name || a.params[i].value != b.params[i].value) return false;
  }
  for (size_t i = 0; i < a.tensors.size(); ++i) {
    const Tensor &x = a.tensors[i], &y = b.tensors[i];
    if (x.name != y.name || x.shape != y.shape || x.values != y.values) return false;
  }
  return true;
}

// Sets a field and makes all checksums right again, as a hostile writer would.
template <class T>
std::vector<std::byte> forged(std::vector<std::byte> bytes, size_t offset, T value) {
  std::memcpy(bytes.data() + offset, &value, sizeof value);
  const uint64_t directory = checksum64(ByteView(bytes).subspan(128, 2 * 32 + 2 * 96));
  std::memcpy(bytes.data() + 112, &directory, 8);
  const uint64_t header = checksum64(ByteView(bytes).first(120));
  std::memcpy(bytes.data() + 120, &header, 8);
  return bytes;
}

Errc refusal(ByteView bytes) {
  const auto got = decode_weights(bytes);
  REQUIRE(!got);
  CHECK(!got.error().where.empty());
  return got.error().code;
}

}  // namespace

TEST_CASE("kernels/weights: what was encoded is decoded, and encodes to the same bytes") {
  const auto bytes = encoded(small());
  const auto back = decode_weights(bytes);
  REQUIRE(back);
  CHECK(same(*back, small()));
  CHECK(encoded(*back) == bytes);
  Weights empty;
  CHECK(decode_weights(encoded(empty)));
}

TEST_CASE("kernels/weights: the layout that WEIGHTS.md describes") {
  const auto bytes = encoded(small());
  REQUIRE(bytes.size() == 448 + 8);  // directory to 384, six floats at 384, two at 448
  CHECK(std::memcmp(bytes.data(), "DRVWGHT\n", 8) == 0);
  const auto u32 = [&](size_t at) {
    uint32_t v;
    std::memcpy(&v, bytes.data() + at, 4);
    return v;
  };
  CHECK(u32(8) == 1);   // version
  CHECK(u32(12) == 1);  // mlp_policy
  CHECK(u32(16) == 0);  // untrained
  CHECK(u32(20) == 2);  // params
  CHECK(u32(24) == 2);  // tensors
  CHECK(u32(32) == 456);
  CHECK(u32(40) == 7);
  CHECK(std::memcmp(bytes.data() + 128 + 32, "width0\0", 7) == 0);
  CHECK(u32(128 + 32 + 24) == 3);
  CHECK(std::memcmp(bytes.data() + 192, "layer0.weight\0", 14) == 0);
  CHECK(u32(192 + 48) == 1);       // float32
  CHECK(u32(192 + 52) == 2);       // rank
  CHECK(u32(192 + 72) == 384);     // offset
  CHECK(u32(192 + 80) == 24);      // bytes
  CHECK(u32(384) == 0x3f800000u);  // 1.0f
  CHECK(to_hex(sha256(bytes)) == "7fe5dafe3c038d1371c57c317d9ac685658dc0e4bd1f168a9be415587e99de6d");
}

TEST_CASE("kernels/weights: every truncation and every changed bit is found") {
  const auto bytes = encoded(small());
  for (size_t size = 0; size < bytes.size(); ++size) {
    const std::vector<std::byte> cut(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(size));
    REQUIRE(!decode_weights(cut));
  }
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    auto bent = bytes;
    bent[bit / 8] ^= std::byte{1} << (bit % 8);
    CAPTURE(bit);
    REQUIRE(!decode_weights(bent));
  }
  auto longer = bytes;
  longer.push_back(std::byte{0});
  CHECK(refusal(longer) == Errc::corrupt);
}

TEST_CASE("kernels/weights: a hostile writer with right checksums is refused") {
  const auto good = encoded(small());
  REQUIRE(decode_weights(forged(good, 40, uint64_t{7})));  // the forger itself does no harm
  constexpr size_t first_tensor = 192;
  CHECK(refusal(forged(good, 8, uint32_t{2})) == Errc::unsupported_version);
  CHECK(refusal(forged(good, 12, uint32_t{99})) == Errc::corrupt);            // architecture
  CHECK(refusal(forged(good, 16, uint32_t{2})) == Errc::corrupt);             // trained
  CHECK(refusal(forged(good, 20, uint32_t{0xffffffff})) == Errc::too_large);  // params
  CHECK(refusal(forged(good, 24, uint32_t{1025})) == Errc::too_large);        // tensors
  CHECK(!decode_weights(forged(good, 24, uint32_t{1024})));
  CHECK(refusal(forged(good, 28, uint32_t{1})) == Errc::corrupt);     // reserved
  CHECK(refusal(forged(good, 32, ~uint64_t{0})) == Errc::truncated);  // file_bytes
  CHECK(refusal(forged(good, 48, '\n')) == Errc::corrupt);            // note not printable
  CHECK(refusal(forged(good, 111, 'x')) == Errc::corrupt);            // note not ended
  CHECK(refusal(forged(good, 128, '/')) == Errc::corrupt);            // parameter name
  CHECK(refusal(forged(good, first_tensor + 48, uint32_t{2})) == Errc::unsupported_version);
  CHECK(refusal(forged(good, first_tensor + 52, uint32_t{0})) == Errc::too_large);
  CHECK(refusal(forged(good, first_tensor + 52, uint32_t{5})) == Errc::too_large);
  CHECK(refusal(forged(good, first_tensor + 56, uint32_t{0xffffffff})) == Errc::too_large);
  CHECK(refusal(forged(good, first_tensor + 56, uint32_t{1u << 20})) == Errc::corrupt);  // larger than its bytes
  CHECK(refusal(forged(good, first_tensor + 64, uint32_t{1})) == Errc::corrupt);         // unused dimension
  CHECK(refusal(forged(good, first_tensor + 72, uint64_t{0})) == Errc::corrupt);         // over the header
  CHECK(refusal(forged(good, first_tensor + 72, ~uint64_t{0})) == Errc::corrupt);
  CHECK(refusal(forged(good, first_tensor + 80, ~uint64_t{0})) == Errc::corrupt);
  CHECK(refusal(forged(good, 420, uint8_t{1})) == Errc::corrupt);  // padding between the arrays
  auto nan = forged(good, 384, NAN);
  const uint64_t sum = checksum64(ByteView(nan).subspan(384, 24));
  CHECK(refusal(forged(nan, first_tensor + 88, sum)) == Errc::corrupt);
}

TEST_CASE("kernels/weights: noise is never accepted and never crashes") {
  Random random;
  CAPTURE(random.seed());
  const auto good = encoded(small());
  for (int round = 0; round < 3000; ++round) {
    auto bytes = good;
    for (size_t i = 0; i < random.between(1, 4); ++i) {  // damage that the forger then blesses
      bytes = forged(bytes, random.below(bytes.size() - 8),
                     static_cast<uint64_t>(random.below(uint64_t{1} << random.between(1, 62))));
    }
    bytes.resize(random.between(bytes.size() / 2, bytes.size()));
    const auto got = decode_weights(bytes);
    if (got) CHECK(encode_weights(*got));  // whatever is accepted is within the limits
  }
}

TEST_CASE("kernels/weights: a model out of range is not encoded") {
  const auto refused = [](auto change) {
    Weights w = small();
    change(w);
    return !encode_weights(w);
  };
  CHECK(refused([](Weights& w) { w.note = std::string(64, 'x'); }));
  CHECK(refused([](Weights& w) { w.note = "two\nlines"; }));
  CHECK(refused([](Weights& w) { w.params[1].name = "layers"; }));
  CHECK(refused([](Weights& w) { w.params[1].name = std::string(24, 'x'); }));
  CHECK(refused([](Weights& w) { w.tensors[1].name = "layer0.weight"; }));
  CHECK(refused([](Weights& w) { w.tensors[1].name = ""; }));
  CHECK(refused([](Weights& w) { w.tensors[1].shape = {3}; }));
  CHECK(refused([](Weights& w) { w.tensors[1].shape = {}; }));
  CHECK(refused([](Weights& w) { w.tensors[1].values[0] = INFINITY; }));
  CHECK(refused([](Weights& w) { w.params.resize(65); }));
}

TEST_CASE("kernels/weights: files are replaced whole, and errors name the path") {
  const auto folder = std::filesystem::temp_directory_path() / ("drover_weights_" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  const std::string path = folder / "policy.weights";
  CHECK(read_weights_file(path).error().code == Errc::not_found);
  REQUIRE(write_weights_file(path, small()));
  Weights other = small();
  other.seed = 8;
  REQUIRE(write_weights_file(path, other));
  const auto back = read_weights_file(path);
  REQUIRE(back);
  CHECK(same(*back, other));
  CHECK(!std::filesystem::exists(path + ".tmp"));
  std::ofstream(path, std::ios::app) << "x";
  const auto damaged = read_weights_file(path);
  REQUIRE(!damaged);
  CHECK(damaged.error().where.find(path) != std::string::npos);
  CHECK(read_weights_file(folder).error().code == Errc::io);
  CHECK(!write_weights_file(folder / "none" / "x", small()));
  std::filesystem::remove_all(folder);
}

TEST_CASE("kernels/weights: seeded weights are labelled untrained and are the same bits for a seed") {
  const MlpShape shape{{5, 4, 2}, Activation::tanh, Activation::none};
  const auto a = seeded_mlp_weights(shape, 42), b = seeded_mlp_weights(shape, 42), c = seeded_mlp_weights(shape, 43);
  REQUIRE((a && b && c));
  CHECK(same(*a, *b));
  CHECK(!same(*a, *c));
  CHECK(!a->trained);
  CHECK(a->note == "untrained: seeded 42");
  CHECK(a->seed == 42);
  CHECK(to_hex(sha256(encoded(*a))) == "5afabb22babd6ae6c7db2212b24f4b77048611b011e959206e0e17794c9ddba1");
}
