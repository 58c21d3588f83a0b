// Result<T>: how every Drover module reports what the outside world did wrong.
//
// Bytes, files, peers and configuration that come from outside give an Error value; they never
// assert and never throw across a module boundary. Our own bugs use DROVER_CHECK (check.hpp).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace drover {

// The closed list of reasons. `errc_name` gives the stable text form used in logs and JSON.
enum class Errc : uint8_t {
  invalid_argument,     // a value is outside its contract
  not_found,            // asked for something that is not there
  already_exists,       // asked to create something that is there
  corrupt,              // checksum, framing or structure is wrong
  truncated,            // the input ends before it is complete
  too_large,            // a size or count is over its bound
  unsupported_version,  // written by a format version this build does not know
  conflict,             // same identity, other content
  gap,                  // a sequence number is missing
  refused,              // not allowed for this peer or in this state
  disk_full,            // the store cannot grow
  io,                   // the operating system reported an error
  timeout,              // a deadline passed
  unavailable,          // the other side is not there; trying again later may work
  overloaded,           // a bounded queue is full; back off
  internal,             // a bug of ours that was contained
};

std::string_view errc_name(Errc code) noexcept;

struct Error {
  Errc code = Errc::internal;
  std::string where;  // file, field or peer the error is about, for example "journal/block@812" or "energy.total_Wh"
  std::string what;   // what was wrong and, where it helps, what to do about it

  // "corrupt: journal/block@812: checksum mismatch"
  std::string message() const;
};

template <class T>
using Result = tl::expected<T, Error>;
using Status = Result<void>;

inline tl::unexpected<Error> fail(Errc code, std::string where, std::string what) {
  return tl::unexpected<Error>(Error{code, std::move(where), std::move(what)});
}

}  // namespace drover

// Propagates the error of a Result or Status expression to the caller.
#define DROVER_TRY(expression)                                     \
  do {                                                             \
    if (auto drover_try_result = (expression); !drover_try_result) \
      return tl::unexpected(std::move(drover_try_result).error()); \
  } while (false)

#define DROVER_CONCAT_INNER(a, b) a##b
#define DROVER_CONCAT(a, b) DROVER_CONCAT_INNER(a, b)

// DROVER_ASSIGN(auto value, make()): declares `value` from the Result or propagates its error.
#define DROVER_ASSIGN(declaration, expression) \
  DROVER_ASSIGN_IMPL(DROVER_CONCAT(drover_result_, __LINE__), declaration, expression)
#define DROVER_ASSIGN_IMPL(temporary, declaration, expression)         \
  auto temporary = (expression);                                       \
  if (!temporary) return tl::unexpected(std::move(temporary).error()); \
  declaration = std::move(*temporary)
