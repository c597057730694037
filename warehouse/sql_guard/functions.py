"""Which functions a fix may call: BigQuery's own that only compute."""

from sqlglot import exp

from sql_guard.refusal import Refusal

# Built-in functions that sqlglot has no class for.
BUILT_IN = set(
    """
    array_avg array_is_distinct bool_array date_bucket datetime_bucket double error float64_array generate_range_array
    ieee_divide iferror int64_array iserror json_flatten nulliferror nullifzero range range_contains range_end
    range_intersect range_is_end_unbounded range_is_start_unbounded range_overlaps range_sessionize range_start search
    st_area st_asbinary st_asgeojson st_astext st_boundary st_boundingbox st_buffer st_centroid st_closestpoint
    st_clusterdbscan st_contains st_convexhull st_coveredby st_covers st_difference st_dimension st_disjoint st_dump
    st_dwithin st_endpoint st_equals st_extent st_exteriorring st_geogfrom st_geogfromgeojson st_geogfromtext
    st_geogfromwkb st_geogpoint st_geogpointfromgeohash st_geohash st_geometrytype st_interiorrings st_intersection
    st_intersects st_isclosed st_iscollection st_isempty st_length st_makeline st_makepolygon st_npoints
    st_numgeometries st_numpoints st_perimeter st_pointn st_simplify st_snaptogrid st_startpoint st_touches st_union
    st_union_agg st_within st_x st_y string_array timestamp_bucket zeroifnull
    """.split()
)
# Their names have a dot. SAFE. and NET. have classes of their own.
FAMILIES = {"hll_count", "kll_quantiles"}
# They call a model, a file or another service.
OUTSIDE = tuple(
    getattr(exp, name)
    for name in """
    AIAgg AIClassify AIEmbed AIForecast AIGenerate AISimilarity AISummarizeAgg FeaturesAtTime GenerateBool GenerateDouble
    GenerateEmbedding GenerateInt GenerateTable GenerateText JSONTable MLForecast MLTranslate NextValueFor OpenJSON Predict
    ReadCSV ReadParquet ToFile VectorSearch XMLTable
    """.split()
)


def refuse_functions(tree: exp.Expression, line: int) -> None:
    """Raises Refusal for a function that is not BigQuery's own, or that reaches outside."""
    for node in tree.find_all(exp.Func):
        parent = node.parent
        if isinstance(parent, exp.Dot) and parent.expression is node:
            family = parent.this.sql("bigquery")
            if family.lower() not in FAMILIES:
                raise not_own(f"{family}.{called(node)}", line)
        elif isinstance(node, OUTSIDE):
            raise not_own(called(node), line)
        elif isinstance(node, exp.Anonymous) and called(node).lower() not in BUILT_IN:
            raise not_own(called(node), line)


def called(node: exp.Func) -> str:
    return node.name if isinstance(node, exp.Anonymous) else node.sql_name()


def not_own(name: str, line: int) -> Refusal:
    return Refusal(
        f"line {line}: the function {name[:80]} is not one of BigQuery's own that only compute: do without it."
    )
