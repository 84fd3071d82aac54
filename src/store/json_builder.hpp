// Building a jsonb piece by piece. Plain: everything lives in the current memory context.
//
//   JsonBuilder json;
//   json.begin_object();
//   json.text("worker", name);
//   json.json("error", error);
//   json.end_object();
//   return json.datum();
#pragma once

#include <string_view>

#include "pg/headers.hpp"

namespace dw::store {

class JsonBuilder {
 public:
  void begin_object() { push(WJB_BEGIN_OBJECT, nullptr); }
  void end_object() { push(WJB_END_OBJECT, nullptr); }
  void begin_array() { push(WJB_BEGIN_ARRAY, nullptr); }
  void end_array() { push(WJB_END_ARRAY, nullptr); }

  void text(std::string_view name, std::string_view value) {
    key(name);
    JsonbValue v = string_value(value);
    push(WJB_VALUE, &v);
  }
  void integer(std::string_view name, int64 value) {
    key(name);
    JsonbValue v;
    v.type = jbvNumeric;
    v.val.numeric = int64_to_numeric(value);
    push(WJB_VALUE, &v);
  }
  // ISO 8601 in UTC, whatever the session's time zone.
  void time(std::string_view name, TimestampTz value) {
    const int utc = 0;
    const char* const shown =
        JsonEncodeDateTime(nullptr, TimestampTzGetDatum(value), TIMESTAMPTZOID, &utc);
    text(name, shown);
  }
  void json(std::string_view name, Datum value) {
    key(name);
    JsonbValue v = binary_value(value);
    push(WJB_VALUE, &v);
  }
  void element(Datum value) {
    JsonbValue v = binary_value(value);
    push(WJB_ELEM, &v);
  }
  // The members of another object become members of this one.
  void members_of(Datum object) {
    Jsonb* const source = DatumGetJsonbP(object);
    if (!JB_ROOT_IS_OBJECT(source)) return;
    JsonbIterator* iterator = JsonbIteratorInit(&source->root);
    JsonbValue v;
    for (JsonbIteratorToken token = JsonbIteratorNext(&iterator, &v, true); token != WJB_DONE;
         token = JsonbIteratorNext(&iterator, &v, true)) {
      if (token == WJB_KEY || token == WJB_VALUE) push(token, &v);
    }
  }

  [[nodiscard]] Datum datum() const { return JsonbPGetDatum(JsonbValueToJsonb(result_)); }

 private:
  static JsonbValue string_value(std::string_view value) {
    JsonbValue v;
    v.type = jbvString;
    v.val.string.val = const_cast<char*>(value.data());
    v.val.string.len = static_cast<int>(value.size());
    return v;
  }
  static JsonbValue binary_value(Datum value) {
    Jsonb* const source = DatumGetJsonbP(value);
    JsonbValue v;
    v.type = jbvBinary;
    v.val.binary.data = &source->root;
    v.val.binary.len = static_cast<int>(VARSIZE(source) - VARHDRSZ);
    return v;
  }
  void key(std::string_view name) {
    JsonbValue v = string_value(name);
    push(WJB_KEY, &v);
  }
  void push(JsonbIteratorToken token, JsonbValue* value) {
    result_ = pushJsonbValue(&state_, token, value);
  }

  JsonbParseState* state_ = nullptr;
  JsonbValue* result_ = nullptr;
};

// Calls each with every element of a jsonb array, as a jsonb of its own.
template <typename Each>
void for_each_element(Datum array, Each each) {
  Jsonb* const source = DatumGetJsonbP(array);
  if (!JB_ROOT_IS_ARRAY(source)) return;
  const uint32 count = JB_ROOT_COUNT(source);
  for (uint32 i = 0; i < count; i++)
    each(JsonbPGetDatum(JsonbValueToJsonb(getIthJsonbValueFromContainer(&source->root, i))));
}

}  // namespace dw::store
