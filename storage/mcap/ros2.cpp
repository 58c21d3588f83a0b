#include "storage/mcap/ros2.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

namespace drover::mcap {

namespace {

struct Primitive {
  std::string_view name;
  Ros2Type type;
};
constexpr std::array<Primitive, 15> kPrimitives = {{
    {"bool", Ros2Type::boolean},
    {"byte", Ros2Type::uint8},
    {"char", Ros2Type::uint8},
    {"uint8", Ros2Type::uint8},
    {"int8", Ros2Type::int8},
    {"int16", Ros2Type::int16},
    {"uint16", Ros2Type::uint16},
    {"int32", Ros2Type::int32},
    {"uint32", Ros2Type::uint32},
    {"int64", Ros2Type::int64},
    {"uint64", Ros2Type::uint64},
    {"float32", Ros2Type::float32},
    {"float64", Ros2Type::float64},
    {"wstring", Ros2Type::wstring},
    {"string", Ros2Type::string},
}};

// What the middleware adds around a service's request and response, from service_msgs/msg/ServiceEventInfo.
constexpr std::string_view kEventInfo =
    "uint8 event_type\nbuiltin_interfaces/Time stamp\nuint8[16] client_gid\nint64 sequence_number\n";
constexpr std::string_view kTime = "int32 sec\nuint32 nanosec\n";

constexpr size_t kNameBytesMax = 255;

std::string_view trim(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= kNameBytesMax && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  });
}

bool parse_number(std::string_view text, uint32_t& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && value > 0;
}

// "package/msg/Type" and "package/Type" to {package, Type}.
std::pair<std::string, std::string> split_type(std::string_view name, std::string_view default_package) {
  const auto first = name.find('/');
  if (first == std::string_view::npos) return {std::string(default_package), std::string(name)};
  return {std::string(name.substr(0, first)), std::string(name.substr(name.rfind('/') + 1))};
}

tl::unexpected<Error> bad_line(std::string_view line) {
  return fail(Errc::corrupt, "ros2msg", std::string("cannot read the line: ").append(line.substr(0, 80)));
}

// "float64[<=3]" and the like, without the field's name.
Result<Ros2Field> parse_type(std::string_view text, std::string_view line) {
  Ros2Field field;
  if (text.ends_with(']')) {
    const auto open = text.rfind('[');
    if (open == std::string_view::npos) return bad_line(line);
    std::string_view size = text.substr(open + 1, text.size() - open - 2);
    text = text.substr(0, open);
    field.array = size.empty() || size.starts_with("<=") ? Ros2Field::Array::sequence : Ros2Field::Array::fixed;
    if (size.starts_with("<=")) size.remove_prefix(2);
    if (!size.empty() && !parse_number(size, field.array_size)) return bad_line(line);
  }
  if (const auto bound = text.find("<="); bound != std::string_view::npos) {
    if (!parse_number(text.substr(bound + 2), field.string_bytes_max)) return bad_line(line);
    text = text.substr(0, bound);
    if (text != "string" && text != "wstring") return bad_line(line);
  }
  const auto known =
      std::find_if(kPrimitives.begin(), kPrimitives.end(), [&](const auto& p) { return p.name == text; });
  field.type = known == kPrimitives.end() ? Ros2Type::message : known->type;
  if (field.type != Ros2Type::message) return field;
  field.type_name = text == "time" || text == "duration" ? "builtin_interfaces/Time" : std::string(text);
  for (size_t at = 0; at <= text.size();) {
    const auto slash = std::min(text.find('/', at), text.size());
    if (!is_name(text.substr(at, slash - at))) return bad_line(line);
    at = slash + 1;
  }
  return field;
}

// One line of a definition. Nothing for blank lines, comments and constants.
Result<std::optional<Ros2Field>> parse_line(std::string_view line) {
  line = trim(line);
  if (line.empty() || line.front() == '#') return std::nullopt;
  const auto type_end = line.find_first_of(" \t");
  if (type_end == std::string_view::npos) return bad_line(line);
  std::string_view rest = trim(line.substr(type_end));
  const auto name_end = std::min(rest.find_first_of(" \t=#"), rest.size());
  const std::string_view name = rest.substr(0, name_end);
  if (!is_name(name)) return bad_line(line);
  if (trim(rest.substr(name_end)).starts_with('=')) return std::nullopt;
  DROVER_ASSIGN(Ros2Field field, parse_type(line.substr(0, type_end), line));
  field.name = name;
  return field;
}

class Parser {
 public:
  explicit Parser(const Ros2Limits& limits) : limits_(limits) {}

  Result<std::vector<Ros2Definition>> parse(std::string_view name, std::string_view text) {
    if (text.size() > limits_.text_bytes_max)
      return fail(Errc::too_large, "ros2msg", "the schema text is over the limit");
    DROVER_TRY(split(name, text));
    DROVER_TRY(resolve());
    return std::move(definitions_);
  }

 private:
  Status begin(std::string_view name, std::string_view package) {
    if (definitions_.size() >= limits_.field_count_max) return fail(Errc::too_large, "ros2msg", "too many definitions");
    auto [of_package, of_name] = split_type(name, package);
    definitions_.push_back({std::move(of_package), std::move(of_name), {}});
    return {};
  }

  Status add(std::string_view line) {
    DROVER_ASSIGN(auto field, parse_line(line));
    if (!field) return {};
    if (++field_count_ > limits_.field_count_max) return fail(Errc::too_large, "ros2msg", "too many fields");
    definitions_.back().fields.push_back(std::move(*field));
    return {};
  }

  Status add_lines(std::string_view text) {
    for (size_t at = 0; at < text.size();) {
      const auto end = std::min(text.find('\n', at), text.size());
      DROVER_TRY(add(text.substr(at, end - at)));
      at = end + 1;
    }
    return {};
  }

  // A service definition stands for its event: root = {info, request[<=1], response[<=1]}.
  Status begin_event(std::string_view name) {
    const auto [package, event] = split_type(name, "");
    const std::string base = event.substr(0, event.size() - std::string_view("_Event").size());
    DROVER_TRY(begin(name, package));
    DROVER_TRY(add_lines("service_msgs/ServiceEventInfo info\n" + base + "_Request[<=1] request\n" + base +
                         "_Response[<=1] response\n"));
    DROVER_TRY(begin("service_msgs/ServiceEventInfo", package));
    DROVER_TRY(add_lines(kEventInfo));
    event_base_ = base;
    return begin(base + "_Request", package);
  }

  Status split(std::string_view name, std::string_view text) {
    const std::string package = split_type(name, "").first;
    const bool event =
        name.ends_with("_Event") && (text.starts_with("---") || text.find("\n---") != std::string_view::npos);
    DROVER_TRY(event ? begin_event(name) : begin(name, package));
    bool expect_name = false;
    for (size_t at = 0; at < text.size();) {
      const auto end = std::min(text.find('\n', at), text.size());
      const std::string_view line = trim(text.substr(at, end - at));
      at = end + 1;
      if (line.size() >= 10 && line.find_first_not_of('=') == std::string_view::npos) {
        expect_name = true;
      } else if (line.starts_with("MSG:") && expect_name) {
        DROVER_TRY(begin(trim(line.substr(4)), package));
        expect_name = false;
      } else if (line == "---" && event && definitions_.back().name == event_base_ + "_Request") {
        DROVER_TRY(begin(event_base_ + "_Response", package));
      } else if (expect_name && !line.empty()) {
        return bad_line(line);
      } else {
        DROVER_TRY(add(line));
      }
    }
    return {};
  }

  Status resolve() {
    std::map<std::pair<std::string, std::string>, size_t> by_name;
    for (size_t i = 0; i < definitions_.size(); ++i)
      by_name.try_emplace({definitions_[i].package, definitions_[i].name}, i);
    // ROS writers leave this one out at times; it is fixed by the middleware.
    if (by_name.try_emplace({"builtin_interfaces", "Time"}, definitions_.size()).second) {
      DROVER_TRY(begin("builtin_interfaces/Time", ""));
      DROVER_TRY(add_lines(kTime));
    }
    if (by_name.try_emplace({"builtin_interfaces", "Duration"}, definitions_.size()).second) {
      DROVER_TRY(begin("builtin_interfaces/Duration", ""));
      DROVER_TRY(add_lines(kTime));
    }
    for (auto& definition : definitions_) {
      for (auto& field : definition.fields) {
        if (field.type != Ros2Type::message) continue;
        auto wanted = split_type(field.type_name, definition.package);
        if (field.type_name == "Header" && !by_name.contains(wanted)) wanted.first = "std_msgs";
        const auto found = by_name.find(wanted);
        if (found == by_name.end())
          return fail(Errc::not_found, "ros2msg", field.type_name + " is not defined in the schema");
        field.definition = found->second;
      }
    }
    return {};
  }

  Ros2Limits limits_;
  std::vector<Ros2Definition> definitions_;
  size_t field_count_ = 0;
  std::string event_base_;
};

size_t size_of(Ros2Type type) {
  switch (type) {
    case Ros2Type::int16:
    case Ros2Type::uint16:
      return 2;
    case Ros2Type::int32:
    case Ros2Type::uint32:
    case Ros2Type::float32:
    case Ros2Type::string:
    case Ros2Type::wstring:
      return 4;
    case Ros2Type::int64:
    case Ros2Type::uint64:
    case Ros2Type::float64:
      return 8;
    default:
      return 1;
  }
}

template <class T>
Result<double> read_as(CdrReader& in) {
  DROVER_ASSIGN(const T value, in.read<T>());
  return static_cast<double>(value);
}

Result<double> read_number(CdrReader& in, Ros2Type type) {
  switch (type) {
    case Ros2Type::boolean:
      return read_as<bool>(in);
    case Ros2Type::uint8:
      return read_as<uint8_t>(in);
    case Ros2Type::int8:
      return read_as<int8_t>(in);
    case Ros2Type::int16:
      return read_as<int16_t>(in);
    case Ros2Type::uint16:
      return read_as<uint16_t>(in);
    case Ros2Type::int32:
      return read_as<int32_t>(in);
    case Ros2Type::uint32:
      return read_as<uint32_t>(in);
    case Ros2Type::int64:
      return read_as<int64_t>(in);
    case Ros2Type::uint64:
      return read_as<uint64_t>(in);
    case Ros2Type::float32:
      return read_as<float>(in);
    case Ros2Type::float64:
      return read_as<double>(in);
    default:
      return fail(Errc::internal, "ros2msg", "not a number type");
  }
}

class Decoder {
 public:
  Decoder(const std::vector<Ros2Definition>& definitions, const Ros2Limits& limits, CdrReader& in)
      : definitions_(definitions), limits_(limits), in_(in) {}

  Status message(size_t index, const std::string& prefix, size_t depth) {
    if (depth > limits_.depth_max) return fail(Errc::too_large, prefix, "messages are nested too deep");
    const auto& fields = definitions_[index].fields;
    if (fields.empty())
      return in_.read<uint8_t>() ? Status{} : fail(Errc::truncated, prefix, "empty message has no byte");
    for (const auto& field : fields) {
      const std::string path = prefix.empty() ? field.name : prefix + "." + field.name;
      if (auto status = one(field, path, depth); !status) {
        Error error = status.error();
        if (error.where.starts_with("cdr")) error.where = path;  // the field says more than the offset
        return tl::unexpected<Error>(std::move(error));
      }
    }
    return {};
  }

  Ros2Values take() { return std::move(values_); }

 private:
  Result<uint32_t> element_count(const Ros2Field& field) {
    if (field.array == Ros2Field::Array::fixed) {
      const size_t least = field.type == Ros2Type::message ? 1 : size_of(field.type);
      if (field.array_size > in_.remaining() / least) return fail(Errc::truncated, "cdr", "array runs over the end");
      return field.array_size;
    }
    const size_t least = field.type == Ros2Type::message ? 1 : size_of(field.type);
    return in_.read_length(least, field.array_size == 0 ? UINT32_MAX : field.array_size);
  }

  Status one(const Ros2Field& field, const std::string& path, size_t depth) {
    if (field.type == Ros2Type::wstring) return fail(Errc::unsupported_version, path, "wstring is not supported");
    if (field.array == Ros2Field::Array::none) {
      if (field.type == Ros2Type::message) return message(field.definition, path, depth + 1);
      return scalar(field, path);
    }
    DROVER_ASSIGN(const uint32_t count, element_count(field));
    if (count > limits_.element_count_max) return fail(Errc::too_large, path, "the array is over the limit");
    if (field.type == Ros2Type::message) {
      for (uint32_t i = 0; i < count; ++i)
        DROVER_TRY(message(field.definition, path + "[" + std::to_string(i) + "]", depth + 1));
      return {};
    }
    return array(field, path, count);
  }

  Status scalar(const Ros2Field& field, const std::string& path) {
    if (field.type == Ros2Type::string) {
      DROVER_ASSIGN(std::string text, read_text(field));
      return put(path, std::move(text));
    }
    DROVER_ASSIGN(const double value, read_number(in_, field.type));
    return put(path, value);
  }

  Status array(const Ros2Field& field, const std::string& path, uint32_t count) {
    if (field.type == Ros2Type::string) {
      std::vector<std::string> texts(count);
      for (auto& text : texts) {
        DROVER_ASSIGN(text, read_text(field));
      }
      return put(path, std::move(texts));
    }
    std::vector<double> numbers(count);
    for (auto& number : numbers) {
      DROVER_ASSIGN(number, read_number(in_, field.type));
    }
    return put(path, std::move(numbers));
  }

  Result<std::string> read_text(const Ros2Field& field) {
    return in_.read_string(field.string_bytes_max == 0 ? UINT32_MAX : field.string_bytes_max);
  }

  Status put(const std::string& path, Ros2Value value) {
    if (values_.size() >= limits_.value_count_max)
      return fail(Errc::too_large, path, "the message has too many values");
    path_bytes_ += path.size();
    if (path_bytes_ > limits_.path_bytes_max)
      return fail(Errc::too_large, path, "the value names take too much memory");
    values_.insert_or_assign(path, std::move(value));
    return {};
  }

  const std::vector<Ros2Definition>& definitions_;
  const Ros2Limits& limits_;
  CdrReader& in_;
  Ros2Values values_;
  size_t path_bytes_ = 0;
};

}  // namespace

Result<Ros2Schema> Ros2Schema::parse(std::string_view name, std::string_view text, const Ros2Limits& limits) {
  Ros2Schema schema;
  schema.limits_ = limits;
  DROVER_ASSIGN(schema.definitions_, Parser(limits).parse(name, text));
  return schema;
}

Result<Ros2Values> Ros2Schema::decode(ByteView payload) const {
  DROVER_ASSIGN(CdrReader in, CdrReader::open(payload));
  Decoder decoder(definitions_, limits_, in);
  DROVER_TRY(decoder.message(0, "", 0));
  return decoder.take();
}

Result<Ros2Values> decode_ros2(std::string_view name, std::string_view text, ByteView payload) {
  DROVER_ASSIGN(const Ros2Schema schema, Ros2Schema::parse(name, text));
  return schema.decode(payload);
}

}  // namespace drover::mcap
