// Fields of a request (see request.hpp).
#include "actors/fleet/request.hpp"

#include <cmath>

#include "storage/datapack_json_scan.hpp"

namespace drover::fleet {

namespace scan = storage::json;

Result<RequestFields> RequestFields::parse(std::string_view text) {
  // The scanner bounds the depth and refuses duplicate keys, which the tree below would not.
  const auto value = scan::scan(text);
  if (!value) return fail(Errc::invalid_argument, "request " + value.error().where, value.error().what);
  if (!scan::is_object(*value)) return fail(Errc::invalid_argument, "request", "expected one JSON object");
  auto object = nlohmann::json::parse(value->begin(), value->end(), nullptr, false);
  if (object.is_discarded()) return fail(Errc::invalid_argument, "request", "is not JSON, or a number has no double");
  return RequestFields(std::move(object));
}

const nlohmann::json* RequestFields::find(const char* name) {
  known_.insert(name);
  const auto at = object_.find(name);
  return at == object_.end() || at->is_null() ? nullptr : &*at;
}

void RequestFields::text(const char* name, std::string& out) {
  const auto* value = find(name);
  if (value == nullptr) return;
  if (!value->is_string()) return wrong(name, std::string("must be text, not ") + value->type_name());
  out = value->get<std::string>();
}

void RequestFields::flag(const char* name, bool& out) {
  const auto* value = find(name);
  if (value == nullptr) return;
  if (!value->is_boolean()) return wrong(name, std::string("must be true or false, not ") + value->type_name());
  out = value->get<bool>();
}

void RequestFields::integer(const char* name, std::optional<int64_t>& out) {
  const auto* value = find(name);
  if (value == nullptr) return;
  const bool fits = value->is_number_integer() &&
                    (!value->is_number_unsigned() ||
                     value->get<uint64_t>() <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max()));
  if (!fits) return wrong(name, "must be a whole number of 64 bits");
  out = value->get<int64_t>();
}

void RequestFields::number(const char* name, std::optional<double>& out) {
  const auto* value = find(name);
  if (value == nullptr) return;
  if (!value->is_number()) return wrong(name, std::string("must be a number, not ") + value->type_name());
  out = value->get<double>();
  if (!std::isfinite(*out)) wrong(name, "must be a finite number");
}

void RequestFields::texts(const char* name, std::vector<std::string>& out) {
  const auto* value = find(name);
  if (value == nullptr) return;
  if (!value->is_array()) return wrong(name, std::string("must be a list of texts, not ") + value->type_name());
  for (const auto& item : *value) {
    if (!item.is_string()) return wrong(name, std::string("must hold texts only, not ") + item.type_name());
    out.push_back(item.get<std::string>());
  }
}

void RequestFields::bounded(const char* name, uint32_t& out, const Range& range) {
  std::optional<int64_t> value;
  integer(name, value);
  if (!value) return;
  if (*value < range.least || *value > range.most)
    return wrong(name, "must be " + std::to_string(range.least) + " to " + std::to_string(range.most));
  out = static_cast<uint32_t>(*value);
}

void RequestFields::required(const char* name, std::string& out) {
  text(name, out);
  if (out.empty()) wrong(name, "is needed");
}

void RequestFields::wrong(const std::string& name, const std::string& what) {
  if (!error_) error_ = Error{Errc::invalid_argument, name, what};
}

Status RequestFields::done() const {
  if (error_) return tl::unexpected(*error_);
  for (const auto& [name, value] : object_.items()) {
    if (known_.contains(name)) continue;
    std::string fields;
    for (const auto& known : known_) fields.append(fields.empty() ? "" : ", ").append(known);
    return fail(Errc::invalid_argument, name.substr(0, 80), "is not a field of this call; its fields are " + fields);
  }
  return {};
}

}  // namespace drover::fleet
