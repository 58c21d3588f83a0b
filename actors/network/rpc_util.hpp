// Small conversions between Cap'n Proto / KJ values and ours, shared by both ends of a session.
#pragma once

#include <capnp/message.h>
#include <kj/exception.h>

#include <string>

#include "actors/network/limits.hpp"
#include "actors/network/peer_name.hpp"
#include "actors/network/remote_error.hpp"
#include "messages/bytes.hpp"

namespace drover::network {

inline std::string text_of(capnp::Text::Reader text) {
  return std::string(text.begin(), text.size());
}
inline std::string text_of(const kj::Exception& exception) {
  return printable({exception.getDescription().begin(), exception.getDescription().size()}, 200);
}
inline capnp::Text::Reader to_text(const std::string& text) {
  return {text.c_str(), text.size()};
}

// The one copy on arrival.
inline Bytes bytes_of(capnp::Data::Reader data) {
  return Bytes::copy_of(ByteView(reinterpret_cast<const std::byte*>(data.begin()), data.size()));
}
inline capnp::Data::Reader to_data(ByteView bytes) {
  return {reinterpret_cast<const kj::byte*>(bytes.data()), bytes.size()};
}

inline kj::Exception wire_exception(const Error& error) {
  const auto text = to_wire(error);
  const auto type = error.code == Errc::overloaded ? kj::Exception::Type::OVERLOADED : kj::Exception::Type::FAILED;
  return kj::Exception(type, "drover", 0, kj::heapString(text.data(), text.size()));
}

inline capnp::ReaderOptions reader_options(const Limits& limits) {
  capnp::ReaderOptions options;
  options.traversalLimitInWords = limits.message_bytes_max / sizeof(capnp::word);
  options.nestingLimit = static_cast<int>(limits.nesting_max);
  return options;
}

}  // namespace drover::network
