// Packet<Schema>: one Cap'n Proto message as flat, immutable, shared bytes.
//
// Between actors a Packet is passed by sharing: no copy, no decoding. Over the wire and on disk
// its bytes are the flat single-segment message. Opening one checks bounds lazily under the limits
// below, so a hostile packet can raise kj::Exception only inside `read`, which turns it into an Error.
#pragma once

#include <capnp/message.h>
#include <capnp/serialize.h>

#include <string>
#include <utility>

#include "messages/bytes.hpp"
#include "messages/check.hpp"
#include "messages/result.hpp"

namespace drover {

struct PacketLimits {
  size_t max_bytes = 8u << 20;  // largest packet that is opened
  int nesting = 32;             // deepest pointer chain followed
};

// Flat bytes of a finished builder: segment table and one or more segments.
inline Bytes flat_bytes(capnp::MessageBuilder& builder) {
  const size_t words = capnp::computeSerializedSizeInWords(builder);
  return Bytes::make(words * sizeof(capnp::word), [&](std::span<std::byte> target) {
    kj::ArrayOutputStream out(kj::arrayPtr(reinterpret_cast<kj::byte*>(target.data()), target.size()));
    capnp::writeMessage(out, builder);
  });
}

// Calls `use(typename Schema::Reader)` on the root of flat bytes. `use` returns Result<T> or Status.
// Errors: truncated, too_large, corrupt (`where` is `name`), or whatever `use` returns.
// Bytes that are not aligned to 8 are copied once.
template <class Schema, class Use>
auto read_flat(ByteView bytes, std::string_view name, Use&& use, PacketLimits limits = {})
    -> decltype(use(std::declval<typename Schema::Reader>())) {
  if (bytes.size() < 8 || bytes.size() % 8 != 0)
    return fail(Errc::truncated, std::string(name), std::to_string(bytes.size()) + " bytes are not a flat message");
  if (bytes.size() > limits.max_bytes)
    return fail(Errc::too_large, std::string(name),
                std::to_string(bytes.size()) + " bytes, the bound is " + std::to_string(limits.max_bytes));
  Bytes aligned;
  if (reinterpret_cast<uintptr_t>(bytes.data()) % 8 != 0) {
    aligned = Bytes::copy_of(bytes);
    bytes = aligned.view();
  }
  try {
    capnp::ReaderOptions options;
    options.traversalLimitInWords = 8 * (bytes.size() / 8) + 1024;  // every byte a few times, never amplified
    options.nestingLimit = limits.nesting;
    capnp::FlatArrayMessageReader reader(
        kj::arrayPtr(reinterpret_cast<const capnp::word*>(bytes.data()), bytes.size() / 8), options);
    return use(reader.getRoot<Schema>());
  } catch (const kj::Exception& e) {
    return fail(Errc::corrupt, std::string(name), std::string(e.getDescription().cStr()));
  }
}

template <class Schema>
class Packet {
 public:
  Packet() = default;
  explicit Packet(capnp::MessageBuilder& builder) : bytes_(flat_bytes(builder)) {}
  explicit Packet(Bytes bytes) : bytes_(std::move(bytes)) {}  // checked when read

  // Builds with `fill(typename Schema::Builder)`.
  template <class Fill>
  static Packet build(Fill&& fill) {
    capnp::MallocMessageBuilder builder;
    fill(builder.initRoot<Schema>());
    return Packet(builder);
  }

  template <class Use>
  auto read(std::string_view name, Use&& use) const {
    return read_flat<Schema>(bytes_.view(), name, std::forward<Use>(use));
  }

  const Bytes& bytes() const noexcept { return bytes_; }
  size_t size_bytes() const noexcept { return bytes_.size(); }
  friend bool operator==(const Packet& a, const Packet& b) noexcept { return a.bytes_ == b.bytes_; }

 private:
  Bytes bytes_;
};

}  // namespace drover
