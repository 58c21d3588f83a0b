// Lets Drover's shared values travel between actors of one process: passing one shares, nothing is serialised.
//
// Convention: a message is a plain struct, one per meaning, declared in the header of the actor that takes
// it, followed by CAF_ALLOW_UNSAFE_MESSAGE_TYPE(that struct) at global scope. No atoms. "Unsafe" is CAF's word for
// "cannot be serialised", which is what we want: between nodes only Cap'n Proto packets travel.
// A handler that can fail returns Result<Reply>; the asker gets Result<Reply> as one value.
#pragma once

#include <caf/allowed_unsafe_message_type.hpp>

#include "messages/bytes.hpp"
#include "messages/result.hpp"

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::Bytes)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::Error)

namespace caf {
template <class T>
struct allowed_unsafe_message_type<tl::expected<T, drover::Error>> : std::true_type {};
}  // namespace caf
