import petrain


def test_cpu_info_names_the_set_in_use():
    info = petrain.cpu_info()
    assert info["isa"] in info["available"]
