// Packets from strangers: size, alignment, nesting, amplification, truncation and noise all end in an Error.
#include "messages/packet.hpp"

#include <capnp/any.h>
#include <doctest/doctest.h>

#include "messages/datapack.hpp"
#include "messages/schema/datapack.capnp.h"
#include "messages/schema/records.capnp.h"
#include "tests/support/random_values.hpp"

using namespace drover;

namespace {

Result<std::string> kind_of(ByteView flat, PacketLimits limits = {}) {
  return read_flat<schema::Event>(
      flat, "event", [](schema::Event::Reader r) -> Result<std::string> { return std::string(r.getKind().cStr()); },
      limits);
}

Packet<schema::Event> packet() {
  return Packet<schema::Event>::build([](schema::Event::Builder b) { b.setKind("alarm"); });
}

}  // namespace

TEST_CASE("messages/packet: built, shared, read") {
  const auto p = packet();
  const auto shared = p;
  CHECK(shared.bytes().data() == p.bytes().data());
  CHECK(kind_of(p.bytes()).value() == "alarm");
  const auto time = p.read("event", [](schema::Event::Reader r) -> Result<int64_t> { return r.getTimeUnixNs(); });
  CHECK(time.value() == 0);
}

TEST_CASE("messages/packet: bytes at any alignment read the same") {
  const Bytes flat = packet().bytes();
  for (size_t shift = 0; shift < 8; ++shift) {
    const Bytes moved = Bytes::make(
        flat.size() + shift, [&](std::span<std::byte> b) { std::memcpy(b.data() + shift, flat.data(), flat.size()); });
    CHECK(kind_of(moved.slice(shift, flat.size())).value() == "alarm");
  }
}

TEST_CASE("messages/packet: every truncation is an error or a shorter message, never a crash") {
  const Bytes flat = packet().bytes();
  for (size_t size = 0; size < flat.size(); ++size) CHECK(!kind_of(flat.slice(0, size)));
  CHECK(kind_of({}).error().code == Errc::truncated);
  CHECK(kind_of(flat.slice(0, 9)).error().code == Errc::truncated);
}

TEST_CASE("messages/packet: a packet over the bound is refused before it is opened") {
  const Bytes flat = packet().bytes();
  CHECK(kind_of(flat, {flat.size(), 32}).value() == "alarm");
  CHECK(kind_of(flat, {flat.size() - 8, 32}).error().code == Errc::too_large);
}

TEST_CASE("messages/packet: pointers nested deeper than the limit are refused") {
  capnp::MallocMessageBuilder message;
  auto pack = message.initRoot<schema::Datapack>();
  pack.initEnergy().initPerJoint(1)[0].initMetrics(1)[0].setName("Wh");
  const Bytes flat = flat_bytes(message);
  const auto name = [&](int nesting) {
    return read_flat<schema::Datapack>(
        flat, "datapack",
        [](schema::Datapack::Reader r) -> Result<std::string> {
          return std::string(r.getEnergy().getPerJoint()[0].getMetrics()[0].getName().cStr());
        },
        PacketLimits{8u << 20, nesting});
  };
  CHECK(name(32).value() == "Wh");
  CHECK(name(2).error().code == Errc::corrupt);
}

TEST_CASE("messages/packet: a small packet that unfolds into a huge one is stopped") {
  // A list of 2^28 zero-sized structs costs its sender two words.
  capnp::MallocMessageBuilder message;
  message.initRoot<capnp::AnyPointer>().initAsAnyStruct(0, 17);
  Bytes flat = flat_bytes(message);
  // Pointer 13 of Datapack is skillTrace: a composite list with a tag of 2^28 elements of no words.
  std::vector<uint64_t> words(flat.size() / 8 + 1);
  std::memcpy(words.data(), flat.data(), flat.size());
  constexpr size_t pointer_section = 2;  // segment table, root pointer
  const size_t list_pointer = pointer_section + 13;
  const size_t tag_word = words.size() - 1;
  const uint64_t offset = tag_word - list_pointer - 1;
  words[list_pointer] = 1 | (offset << 2) | (uint64_t{7} << 32);
  words[tag_word] = uint64_t{(1u << 28) << 2};
  words[0] = (words.size() - 1) << 32;
  const ByteView hostile = std::as_bytes(std::span(words));
  const auto pack = decode_datapack(hostile);
  REQUIRE(!pack);
  CHECK(pack.error().code == Errc::corrupt);
}

TEST_CASE("messages/packet: random bytes and random damage never crash a decoder") {
  test::Rng rng(71);
  const Bytes good = encode(test::random_datapack(rng));
  int refused = 0;
  for (int i = 0; i < 4000; ++i) {
    const bool noise = i % 2 == 0;
    const Bytes bad = noise ? test::random_bytes(rng, 8 * test::below(rng, 64))
                            : Bytes::make(good.size(), [&](std::span<std::byte> b) {
                                std::memcpy(b.data(), good.data(), b.size());
                                for (int n = 0; n < 4; ++n)
                                  b[test::below(rng, b.size())] = static_cast<std::byte>(rng());
                              });
    refused += decode_datapack(bad) ? 0 : 1;
    (void)decode_episode(bad);
    (void)decode_event(bad);
    (void)decode_receipt(bad);
    (void)decode_knowledge(bad);
    (void)decode_signed_knowledge(bad);
  }
  CHECK(refused > 1000);
}
